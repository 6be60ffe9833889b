//! The products: what each is, and its row with everything that lists show of its variants, images and reviews.

use uuid::Uuid;

use super::{images, variants};
use crate::copy_format::{Rows, json_object};
use crate::corpora::departments::{COLOURS, Category, DEPARTMENTS, Department};
use crate::corpora::descriptions::{Subject, describe};
use crate::corpora::names::{COUNTRIES, slug};
use crate::rng::{Purpose, RowRng};
use crate::series::{self, Membership};
use crate::tables::brands::Brand;
use crate::tables::catalogue::Catalogue;
use crate::timestamps::{HISTORY_END_US, uuid_at};

/// The columns of [`row`].
pub const COLUMNS: &str = "id, brand_id, category_id, created_at, updated_at, sales_count, price_cents, \
    compare_at_cents, review_count, rating_hundredths, in_stock, active, currency, slug, title, description, \
    image_url, image_alt, attributes";

/// What a product is, without its texts.
#[derive(Debug)]
pub struct Product<'a> {
    /// Its number in the catalogue, from 0, the oldest.
    pub index: u64,
    /// Its id.
    pub id: Uuid,
    /// When it was created, in microseconds of Unix time.
    pub created_us: i64,
    /// Its place in its series.
    pub membership: Membership,
    /// Its brand, which all of a series share.
    pub brand: &'a Brand,
    /// Where it hangs in the tree of categories.
    pub category_id: Uuid,
    /// The category above its leaf.
    pub category: &'static Category,
    /// The department, which all of a series share.
    pub department: &'static Department,
    /// The kind of thing it is.
    pub noun: &'static str,
    /// What it is made of.
    pub material: &'static str,
    /// Its first colour, as an index into the colours.
    pub colour: usize,
    /// What it is called.
    pub title: String,
}

/// The id of a product.
pub fn id(catalogue: &Catalogue, index: u64) -> Uuid {
    let created_us = catalogue.product_times.at_us(index);
    uuid_at(
        created_us,
        index,
        0,
        &mut RowRng::new(catalogue.seed, Purpose::Product, index),
    )
}

/// Whether the shop shows a product: about 99 of 100.
pub fn is_active(catalogue: &Catalogue, index: u64) -> bool {
    let mut rng = RowRng::new(catalogue.seed, Purpose::Product, index);
    uuid_at(0, 0, 0, &mut rng);
    draw_active(&mut rng)
}

// The draw right behind those of the id, so that it can be had alone.
fn draw_active(rng: &mut RowRng) -> bool {
    !rng.percent(1)
}

impl<'a> Product<'a> {
    /// The product of a number. What variants and images need; the texts of its own row come in [`row`].
    pub fn at(catalogue: &'a Catalogue, index: u64) -> Self {
        let membership = catalogue.series.of_product(index);
        let mut rng = series::rng(catalogue.seed, membership.series);
        let brand = &catalogue.brands[catalogue.draw_brand(&mut rng)];
        let departments = catalogue.scale.tree().0;
        // One series in eight is not of the brand's main department.
        let department = if rng.below(8) == 0 {
            rng.below(departments as u64) as usize
        } else {
            brand.department
        };

        let mut rng = RowRng::new(catalogue.seed, Purpose::Product, index);
        let created_us = catalogue.product_times.at_us(index);
        let id = uuid_at(created_us, index, 0, &mut rng);
        let _ = draw_active(&mut rng);
        let node = &catalogue.categories[catalogue.draw_leaf(department, &mut rng)];
        let (noun, category) = node.leaf.expect("products hang on leaves");
        let department = &DEPARTMENTS[department];
        let material = *rng.pick(&department.materials);
        let colour = rng.below(COLOURS.len() as u64) as usize;
        let word = catalogue.series.word(membership.series);
        let look = if rng.percent(70) {
            material
        } else {
            COLOURS[colour]
        };
        Self {
            index,
            id,
            created_us,
            membership,
            brand,
            category_id: node.id,
            category,
            department,
            noun,
            material,
            colour,
            title: format!("{word} {look} {noun}"),
        }
    }

    /// The last part of its address, unique by its number.
    pub fn slug(&self) -> String {
        format!("{}-{}", slug(&self.title), self.index + 1)
    }
}

/// Writes the row of a product.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let product = Product::at(catalogue, index);
    let summary = variants::summary(&variants::of(catalogue, &product));
    let reviews = catalogue.reviews_of(index);
    let texts = Texts::of(catalogue, &product);
    let age_us = (HISTORY_END_US - product.created_us) as u64;
    let updated_us =
        product.created_us + RowRng::new(catalogue.seed, Purpose::Update, index).below(age_us) as i64;

    rows.row(19)
        .uuid(product.id)
        .uuid(product.brand.id)
        .uuid(product.category_id);
    rows.timestamp(product.created_us).timestamp(updated_us);
    // Over the shop's whole life, more than the orders that are kept: their lines add up to a part of it.
    rows.bigint(catalogue.popularity.sales(catalogue.popularity.rank(index)));
    rows.bigint(summary.price_cents);
    match summary.compare_at_cents {
        Some(cents) => rows.bigint(cents),
        None => rows.null(),
    };
    rows.integer(reviews.count as i32)
        .smallint(reviews.rating_hundredths());
    rows.boolean(summary.in_stock)
        .boolean(is_active(catalogue, index))
        .text("EUR");
    rows.text(&product.slug())
        .text(&product.title)
        .text(&texts.description);
    rows.text(&images::url(catalogue, &product, 0))
        .text(&images::alt(&product, 0));
    rows.jsonb(&texts.attributes);
}

/// What a product's row says of it at length.
#[derive(Debug)]
pub struct Texts {
    /// About a kilobyte of sentences.
    pub description: String,
    /// A JSON object.
    pub attributes: String,
}

impl Texts {
    /// The texts of a product.
    pub fn of(catalogue: &Catalogue, product: &Product<'_>) -> Self {
        let mut rng = RowRng::new(catalogue.seed, Purpose::Description, product.index);
        let country = *rng.pick(&COUNTRIES);
        let own = product.membership.member.is_multiple_of(2);
        let own = own.then(|| catalogue.series.word(product.membership.series));
        let other = catalogue
            .series
            .mentioned_by(product.membership)
            .map(|series| catalogue.series.word(series));
        let subject = Subject {
            department: product.department,
            noun: &product.noun.to_lowercase(),
            material: &product.material.to_lowercase(),
            colour: &COLOURS[product.colour].to_lowercase(),
            brand: &product.brand.name,
            country,
            series: own.as_deref(),
            goes_with: other.as_deref(),
        };
        let description = describe(&subject, &mut rng);
        Self {
            description,
            attributes: attributes(product, country, &mut rng),
        }
    }
}

fn attributes(product: &Product<'_>, country: &str, rng: &mut RowRng) -> String {
    let weight = format!("{} g", rng.between(4, 400) * 10);
    let warranty = format!("{} years", rng.between(2, 5));
    let (width, depth) = (rng.between(5, 180), rng.between(5, 90));
    let dimensions = format!("{width} × {depth} × {} cm", rng.between(2, 120));
    let all = [
        ("Material", product.material),
        ("Colour", COLOURS[product.colour]),
        ("Made in", country),
        ("Weight", &weight),
        ("Dimensions", &dimensions),
        ("Warranty", &warranty),
    ];
    // The first three to six.
    json_object(all.into_iter().take(rng.between(3, 6) as usize))
}
