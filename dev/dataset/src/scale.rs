//! How much of everything a generated shop holds. Read next: [`super::tables::catalogue`], which turns a scale and a seed into rows.

use clap::ValueEnum;

/// The size of a generated shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Scale {
    /// 1 000 products, 2 000 orders: for tests.
    Xs,
    /// 200 000 products, 200 000 orders: what `make up` and `make compare` use.
    S,
    /// 1 000 000 products, 2 000 000 orders.
    M,
}

impl Scale {
    /// Every scale, the smallest first.
    pub const ALL: [Scale; 3] = [Scale::Xs, Scale::S, Scale::M];

    /// The name on the command line and in the names of template databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scale::Xs => "xs",
            Scale::S => "s",
            Scale::M => "m",
        }
    }

    /// Products, a multiple of [`super::series::BLOCK`].
    pub const fn products(self) -> u64 {
        match self {
            Scale::Xs => 1_000,
            Scale::S => 200_000,
            Scale::M => 1_000_000,
        }
    }

    /// Brands, at most as many as `brands.rs` has names for.
    pub const fn brands(self) -> u64 {
        match self {
            Scale::Xs => 40,
            Scale::S => 2_000,
            Scale::M => 4_000,
        }
    }

    /// Reviews: two a product on average.
    pub const fn reviews(self) -> u64 {
        2 * self.products()
    }

    /// Customers.
    pub const fn customers(self) -> u64 {
        match self {
            Scale::Xs => 200,
            Scale::S => 20_000,
            Scale::M => 200_000,
        }
    }

    /// Orders: ten a customer on average.
    pub const fn orders(self) -> u64 {
        10 * self.customers()
    }

    /// How many departments the category tree has, how many categories each, and how many leaves each of those.
    pub const fn tree(self) -> (usize, usize, usize) {
        match self {
            Scale::Xs => (4, 3, 3),
            Scale::S | Scale::M => (12, 5, 6),
        }
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
