//! What changed in the catalogue, as the process that follows the change feed hears of it.

use uuid::Uuid;

/// What changed about a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its texts, whether it is shown, its brand or category; or it is new, or gone.
    Product,
    /// What it costs.
    Price,
    /// Whether it is in stock.
    Stock,
    /// Its reviews.
    Rating,
}

/// What changed since the feed was read last.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Anything may have: the process has just started, or fell behind.
    pub everything: bool,
    /// A brand or a category.
    pub reference: bool,
    /// These products.
    pub products: Vec<(Uuid, ChangeKind)>,
}
