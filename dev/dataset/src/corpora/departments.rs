//! The departments of the shop, their categories and the kinds of things in each.
//! Read next: [`crate::tables::categories`], which makes the tree of them.

use std::sync::LazyLock;

/// A department: the root of a tree of categories, and the words that belong to it.
#[derive(Debug)]
pub struct Department {
    /// What it is called.
    pub name: &'static str,
    /// What its goods are made of.
    pub materials: Vec<&'static str>,
    /// What is good about them, as the object of a sentence.
    pub features: Vec<&'static str>,
    /// What they are for, after "for".
    pub uses: Vec<&'static str>,
    /// Its categories.
    pub categories: Vec<Category>,
}

/// A category, whose nouns are its leaves.
#[derive(Debug)]
pub struct Category {
    /// What it is called.
    pub name: &'static str,
    /// The middle of its prices, in cents.
    pub median_price_cents: u32,
    /// How its products come in variants.
    pub options: Options,
    /// The kinds of things in it, in the singular.
    pub nouns: Vec<&'static str>,
}

/// What the variants of a product differ in, apart from colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    /// XS to XXL.
    Clothes,
    /// European shoe sizes.
    Shoes,
    /// Small to large, dearer as they grow.
    Sizes,
    /// Millilitres, dearer as they grow.
    Volumes,
    /// Pieces in a pack, dearer as they grow.
    Packs,
}

impl Options {
    /// The name of the option.
    pub const fn name(self) -> &'static str {
        match self {
            Options::Clothes | Options::Shoes | Options::Sizes => "Size",
            Options::Volumes => "Volume",
            Options::Packs => "Pack",
        }
    }

    /// Its values, in order.
    pub const fn values(self) -> &'static [&'static str] {
        match self {
            Options::Clothes => &["XS", "S", "M", "L", "XL", "XXL"],
            Options::Shoes => &["37", "38", "39", "40", "41", "42", "43", "44"],
            Options::Sizes => &["Small", "Medium", "Large"],
            Options::Volumes => &["50 ml", "100 ml", "250 ml", "500 ml"],
            Options::Packs => &["1 piece", "2 pieces", "4 pieces", "6 pieces"],
        }
    }

    /// By how many percent each step up is dearer.
    pub const fn step_percent(self) -> u64 {
        match self {
            Options::Clothes | Options::Shoes => 0,
            Options::Sizes => 22,
            Options::Volumes => 60,
            Options::Packs => 80,
        }
    }
}

word_lists! {
    "colours.txt":
    /// Every colour that things come in.
    pub COLOURS = "colours";
}

/// All departments, the largest first. In the file each is a block: its name, its materials, features and uses, and a
/// line for each category.
pub static DEPARTMENTS: LazyLock<Vec<Department>> = LazyLock::new(|| {
    let blocks = include_str!("departments.txt").split("\n\n");
    blocks.map(parse_department).collect()
});

fn parse_department(block: &'static str) -> Department {
    let mut lines = block.lines();
    let mut line = || {
        lines
            .next()
            .expect("a department has four lines before its categories")
    };
    let words = |line: &'static str| line.split(" | ").collect();
    Department {
        name: line(),
        materials: words(line()),
        features: words(line()),
        uses: words(line()),
        categories: lines.map(parse_category).collect(),
    }
}

fn parse_category(line: &'static str) -> Category {
    let mut words = line.split(" | ");
    let mut word = || words.next().expect("a category has a name, a price and options");
    Category {
        name: word(),
        median_price_cents: word().parse().expect("a price is a number of cents"),
        options: match word() {
            "Clothes" => Options::Clothes,
            "Shoes" => Options::Shoes,
            "Sizes" => Options::Sizes,
            "Volumes" => Options::Volumes,
            "Packs" => Options::Packs,
            other => unreachable!("there are no options `{other}`"),
        },
        nouns: words.collect(),
    }
}
