//! The brands. Their sizes follow Zipf's law: [`Catalogue::draw_brand`].

use uuid::Uuid;

use crate::copy_format::Rows;
use crate::corpora::names::{BRAND_ENDINGS, BRAND_ROOTS, slug};
use crate::rng::{Purpose, RowRng};
use crate::scale::Scale;
use crate::tables::catalogue::{Catalogue, OPENED_US};
use crate::timestamps::uuid_at;

/// A brand.
#[derive(Debug)]
pub struct Brand {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The department that most of its products are in.
    pub department: usize,
    /// What its SKUs begin with.
    pub sku_prefix: String,
}

/// All brands, the largest first.
pub fn all(scale: Scale, seed: u64) -> Vec<Brand> {
    let departments: Vec<u64> = (0..scale.tree().0 as u64).map(|rank| 100 / (rank + 2)).collect();
    (0..scale.brands())
        .map(|index| {
            let mut rng = RowRng::new(seed, Purpose::Brand, index);
            // 41 has no common divisor with the 100 roots, so every pair of root and ending comes once.
            let root = BRAND_ROOTS[(index * 41 % BRAND_ROOTS.len() as u64) as usize];
            let turn = index / BRAND_ROOTS.len() as u64;
            let ending = BRAND_ENDINGS[((index * 7 + turn) % BRAND_ENDINGS.len() as u64) as usize];
            let name = format!("{root} {ending}");
            Brand {
                id: uuid_at(OPENED_US + index as i64 * 1_000, index, 0, &mut rng),
                department: rng.weighted(&departments),
                sku_prefix: format!("{}{}", &root[..3], &ending[..1]).to_ascii_uppercase(),
                name,
            }
        })
        .collect()
}

/// Writes the row of a brand.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let brand = &catalogue.brands[index as usize];
    rows.row(3)
        .uuid(brand.id)
        .text(&slug(&brand.name))
        .text(&brand.name);
}
