//! A catalogue and its shop: a scale and a seed, and what is computed from them before the first row.
//!
//! Rows themselves are in [`super`], one file a table. A catalogue holds little: the cumulated weights of
//! brands and leaves, and for each product how many reviews it has and how many stars they add up to (8 bytes a
//! product), because reviews are made in the order of time and products need their sum.

use uuid::Uuid;

use super::orders::buyers::Buyers;
use super::{brands, categories, reviews};
use crate::popularity::Popularity;
use crate::rng::{Purpose, RowRng};
use crate::scale::Scale;
use crate::series::SeriesPlan;
use crate::timestamps::{HISTORY_END_US, HISTORY_US, Timeline};

/// When the shop opened: every category and brand is from that day.
pub const OPENED_US: i64 = HISTORY_END_US - HISTORY_US;

/// Everything that rows are derived from.
#[derive(Debug)]
pub struct Catalogue {
    /// Its size.
    pub scale: Scale,
    /// What all chance in it comes from.
    pub seed: u64,
    /// How well each product sells.
    pub popularity: Popularity,
    /// Which product is of which series.
    pub series: SeriesPlan,
    /// The tree of categories, parents before children.
    pub categories: Vec<categories::Node>,
    /// The brands, the largest first.
    pub brands: Vec<brands::Brand>,
    /// When products were created.
    pub product_times: Timeline,
    /// When customers registered.
    pub customer_times: Timeline,
    /// How much each customer buys.
    pub buyers: Buyers,
    brand_weights: Cumulated,
    leaf_weights: Vec<(Vec<usize>, Cumulated)>,
    review_sums: Vec<ReviewSum>,
}

/// The reviews of one product, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReviewSum {
    /// How many there are.
    pub count: u32,
    /// All their stars.
    pub stars: u32,
}

impl ReviewSum {
    /// The mean times 100, rounded half up as Postgres rounds a `numeric`.
    pub fn rating_hundredths(self) -> i16 {
        if self.count == 0 {
            return 0;
        }
        i16::try_from((200 * self.stars + self.count) / (2 * self.count)).expect("at most 500")
    }
}

impl Catalogue {
    /// Prepares the catalogue of a scale and a seed.
    pub fn new(scale: Scale, seed: u64) -> Self {
        let categories = categories::tree(scale, seed);
        let brands = brands::all(scale, seed);
        let departments = scale.tree().0;
        let mut catalogue = Self {
            scale,
            seed,
            popularity: Popularity::new(seed, scale.products()),
            series: SeriesPlan::new(seed, scale.products()),
            brand_weights: Cumulated::zipf(brands.len()),
            leaf_weights: (0..departments)
                .map(|department| leaves_of(&categories, department))
                .collect(),
            categories,
            brands,
            product_times: Timeline::new(seed, Purpose::Product, OPENED_US, scale.products()),
            customer_times: Timeline::new(seed, Purpose::Customer, OPENED_US, scale.customers()),
            buyers: Buyers::new(seed, scale.customers()),
            review_sums: vec![ReviewSum::default(); scale.products() as usize],
        };
        for index in 0..scale.reviews() {
            let subject = reviews::subject(&catalogue, index);
            let sum = &mut catalogue.review_sums[subject.product as usize];
            sum.count += 1;
            sum.stars += subject.stars as u32;
        }
        catalogue
    }

    /// A brand, drawn as often as it is large: Zipf.
    pub fn draw_brand(&self, rng: &mut RowRng) -> usize {
        self.brand_weights.draw(rng)
    }

    /// A leaf below a department, as an index into `categories`.
    pub fn draw_leaf(&self, department: usize, rng: &mut RowRng) -> usize {
        let (leaves, weights) = &self.leaf_weights[department];
        leaves[weights.draw(rng)]
    }

    /// A product, drawn as often as it sells, among those that existed at a time.
    pub fn draw_product(&self, at_us: i64, rng: &mut RowRng) -> u64 {
        let existing = existing(&self.product_times, at_us, self.scale.products());
        (0..16)
            .map(|_| self.popularity.draw(rng))
            .find(|product| *product < existing)
            .unwrap_or_else(|| rng.below(existing))
    }

    /// A customer, drawn as often as they buy, among those who were registered at a time.
    pub fn draw_customer(&self, at_us: i64, rng: &mut RowRng) -> u64 {
        let existing = existing(&self.customer_times, at_us, self.scale.customers());
        (0..16)
            .map(|_| self.buyers.draw(rng))
            .find(|customer| *customer < existing)
            .unwrap_or_else(|| rng.below(existing))
    }

    /// The reviews of a product, added up.
    pub fn reviews_of(&self, product: u64) -> ReviewSum {
        self.review_sums[product as usize]
    }

    /// The id of a product.
    pub fn product_id(&self, product: u64) -> Uuid {
        super::products::id(self, product)
    }
}

/// How many of `count` rows existed at a time. The share of the time that had passed is theirs; one less, for their
/// jitter.
fn existing(times: &Timeline, at_us: i64, count: u64) -> u64 {
    let steps = (at_us - OPENED_US) as u64 / times.step_us() as u64;
    steps.saturating_sub(1).clamp(1, count)
}

fn leaves_of(categories: &[categories::Node], department: usize) -> (Vec<usize>, Cumulated) {
    let leaves: Vec<usize> = (0..categories.len())
        .filter(|index| categories[*index].department == department && categories[*index].leaf.is_some())
        .collect();
    let weights = Cumulated::zipf(leaves.len());
    (leaves, weights)
}

/// Cumulated weights, to draw from.
#[derive(Debug)]
struct Cumulated(Vec<f64>);

impl Cumulated {
    /// Zipf's weights 1/(rank + 2): the largest is not overwhelming.
    fn zipf(count: usize) -> Self {
        let mut sum = 0.0;
        Self(
            (0..count)
                .map(|rank| {
                    sum += 1.0 / (rank + 3) as f64;
                    sum
                })
                .collect(),
        )
    }

    fn draw(&self, rng: &mut RowRng) -> usize {
        let total = self.0.last().copied().expect("there is something to draw from");
        let point = rng.unit() * total;
        self.0.partition_point(|sum| *sum <= point).min(self.0.len() - 1)
    }
}
