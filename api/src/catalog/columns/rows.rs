//! The columns as parallel arrays (struct of arrays): 33 bytes per product, and about 10 more for the hash index by id.

use std::ops::{ControlFlow, Range};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use uuid::Uuid;

use super::dictionary::Dictionary;
use super::{Counts, PRICE_BANDS, ProductRow, RowFilter};

const ACTIVE: u8 = 1;
const IN_STOCK: u8 = 2;
/// The remaining bits are the index of the price band.
const BAND_SHIFT: u8 = 2;

/// Products in columns. An entry without a product isn't `ACTIVE`, and is reused.
#[derive(Default)]
pub(super) struct Rows {
    ids: Vec<Uuid>,
    brands: Vec<u32>,
    categories: Vec<u32>,
    prices: Vec<i64>,
    /// `ACTIVE`, `IN_STOCK`, and the price band.
    flags: Vec<u8>,
    by_id: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    free: Vec<u32>,
    brand_codes: Dictionary,
    category_codes: Dictionary,
    /// The counts of all active products, updated by every write, so that they need no pass.
    totals: Tally,
}

/// Counts by code.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    brands: Vec<u32>,
    categories: Vec<u32>,
    bands: [u32; PRICE_BANDS.len()],
    in_stock: u32,
    out_of_stock: u32,
}

/// A filter with codes instead of ids.
pub(super) struct EncodedFilter {
    brand: Option<u32>,
    /// Selected categories, indexed by code. Codes past the end aren't selected.
    categories: Option<Vec<bool>>,
    prices: Option<Range<i64>>,
    /// A mask of flags, and their required values.
    flags: (u8, u8),
}

impl EncodedFilter {
    /// Whether every active product passes.
    pub(super) fn passes_all(&self) -> bool {
        self.brand.is_none()
            && self.categories.is_none()
            && self.prices.is_none()
            && self.flags == (ACTIVE, ACTIVE)
    }
}

impl Rows {
    pub(super) fn with_capacity(products: usize) -> Self {
        let mut rows = Self::default();
        rows.reserve(products);
        rows.by_id = HashTable::with_capacity(products);
        rows
    }

    /// The number of entries, including entries without a product.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Inserts or replaces a product.
    pub(super) fn put(&mut self, product: &ProductRow) {
        let (brand, category) = (
            self.brand_codes.encode(product.brand_id),
            self.category_codes.encode(product.category_id),
        );
        let at = self.entry_of(product.id);
        self.uncount(at);
        self.brands[at] = brand;
        self.categories[at] = category;
        self.prices[at] = product.price_cents;
        self.flags[at] = flags(product);
        self.totals.make_room(&self.brand_codes, &self.category_codes);
        if self.flags[at] & ACTIVE != 0 {
            self.totals.add(brand, category, self.flags[at]);
        }
    }

    /// Removes a product if it exists.
    pub(super) fn remove(&mut self, id: Uuid) {
        let Self {
            ids, by_id, hasher, ..
        } = self;
        let hash = hash(hasher, id);
        let Ok(found) = by_id.find_entry(hash, |at| ids[*at as usize] == id) else {
            return;
        };
        let (at, _) = found.remove();
        self.uncount(at as usize);
        self.flags[at as usize] = 0;
        self.free.push(at);
    }

    /// Encodes a filter. `None` if no product can pass it.
    pub(super) fn encode_filter(&self, filter: &RowFilter) -> Option<EncodedFilter> {
        let brand = match filter.brand {
            Some(id) => Some(self.brand_codes.find(id)?),
            None => None,
        };
        let categories = filter.categories.as_ref().map(|ids| {
            let mut wanted = vec![false; self.category_codes.len()];
            for number in ids.iter().filter_map(|id| self.category_codes.find(*id)) {
                wanted[number as usize] = true;
            }
            wanted
        });
        if categories.as_ref().is_some_and(|wanted| !wanted.contains(&true)) {
            return None;
        }
        let prices = match (filter.min_price, filter.max_price) {
            (None, None) => None,
            (min, max) => Some(min.unwrap_or(i64::MIN)..max.map_or(i64::MAX, |max| max.saturating_add(1))),
        };
        let flags = match filter.in_stock {
            None => (ACTIVE, ACTIVE),
            Some(true) => (ACTIVE | IN_STOCK, ACTIVE | IN_STOCK),
            Some(false) => (ACTIVE | IN_STOCK, ACTIVE),
        };
        Some(EncodedFilter {
            brand,
            categories,
            prices,
            flags,
        })
    }

    /// The counts of all active products.
    pub(super) fn totals(&self) -> &Tally {
        &self.totals
    }

    /// Counts of active products by their own category, excluding its descendants.
    pub(super) fn by_category(&self) -> Vec<(Uuid, u32)> {
        self.category_codes.decode_counts(&self.totals.categories)
    }

    /// Counts the entries of a range. `Break` at the end of the columns.
    pub(super) fn count_range(
        &self,
        range: Range<usize>,
        filter: &EncodedFilter,
        tally: &mut Tally,
    ) -> ControlFlow<()> {
        tally.make_room(&self.brand_codes, &self.category_codes);
        let end = range.end.min(self.len());
        for at in range.start.min(end)..end {
            self.count_entry(at, filter, tally);
        }
        if end == self.len() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Counts these products.
    pub(super) fn count_ids(&self, ids: &[Uuid], filter: &EncodedFilter, tally: &mut Tally) {
        tally.make_room(&self.brand_codes, &self.category_codes);
        for id in ids {
            let found = self
                .by_id
                .find(hash(&self.hasher, *id), |at| self.ids[*at as usize] == *id);
            if let Some(at) = found {
                self.count_entry(*at as usize, filter, tally);
            }
        }
    }

    #[inline]
    fn count_entry(&self, at: usize, filter: &EncodedFilter, tally: &mut Tally) {
        let (brand, category, flags) = (self.brands[at], self.categories[at], self.flags[at]);
        let passes = flags & filter.flags.0 == filter.flags.1
            && filter.brand.is_none_or(|wanted| wanted == brand)
            && filter
                .categories
                .as_ref()
                .is_none_or(|wanted| wanted.get(category as usize) == Some(&true))
            && filter
                .prices
                .as_ref()
                .is_none_or(|prices| prices.contains(&self.prices[at]));
        if passes {
            tally.add(brand, category, flags);
        }
    }

    /// Converts a tally to counts by id.
    pub(super) fn counts(&self, tally: &Tally) -> Counts {
        Counts {
            brands: self.brand_codes.decode_counts(&tally.brands),
            categories: self.category_codes.decode_counts(&tally.categories),
            bands: tally.bands,
            in_stock: tally.in_stock,
            out_of_stock: tally.out_of_stock,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        const ROW: usize = size_of::<Uuid>() + 2 * size_of::<u32>() + size_of::<i64>() + size_of::<u8>();
        self.ids.capacity() * ROW
            + self.by_id.allocation_size()
            + self.free.capacity() * size_of::<u32>()
            + self.brand_codes.bytes()
            + self.category_codes.bytes()
    }

    /// The index of a product's entry, which is created if necessary.
    fn entry_of(&mut self, id: Uuid) -> usize {
        if self.free.is_empty() && self.ids.len() == self.ids.capacity() {
            // Grows by an eighth, because doubling would leave up to half of the memory unused.
            self.reserve(self.ids.len() / 8 + 64);
        }
        let next = self.free.last().copied().unwrap_or(self.ids.len() as u32);
        let Self {
            ids, by_id, hasher, ..
        } = self;
        let entry = by_id.entry(
            hash(hasher, id),
            |at| ids[*at as usize] == id,
            |at| hash(hasher, ids[*at as usize]),
        );
        let at = match entry {
            Entry::Occupied(known) => return *known.get() as usize,
            Entry::Vacant(vacant) => *vacant.insert(next).get() as usize,
        };
        if self.free.pop().is_some() {
            self.ids[at] = id;
        } else {
            self.ids.push(id);
            self.brands.push(0);
            self.categories.push(0);
            self.prices.push(0);
            self.flags.push(0);
        }
        at
    }

    fn uncount(&mut self, at: usize) {
        if self.flags[at] & ACTIVE != 0 {
            self.totals
                .subtract(self.brands[at], self.categories[at], self.flags[at]);
        }
    }

    fn reserve(&mut self, products: usize) {
        self.ids.reserve_exact(products);
        self.brands.reserve_exact(products);
        self.categories.reserve_exact(products);
        self.prices.reserve_exact(products);
        self.flags.reserve_exact(products);
    }
}

impl Tally {
    fn make_room(&mut self, brands: &Dictionary, categories: &Dictionary) {
        self.brands.resize(brands.len(), 0);
        self.categories.resize(categories.len(), 0);
    }

    #[inline]
    fn add(&mut self, brand: u32, category: u32, flags: u8) {
        self.brands[brand as usize] += 1;
        self.categories[category as usize] += 1;
        self.bands[usize::from(flags >> BAND_SHIFT)] += 1;
        if flags & IN_STOCK != 0 {
            self.in_stock += 1;
        } else {
            self.out_of_stock += 1;
        }
    }

    fn subtract(&mut self, brand: u32, category: u32, flags: u8) {
        self.brands[brand as usize] -= 1;
        self.categories[category as usize] -= 1;
        self.bands[usize::from(flags >> BAND_SHIFT)] -= 1;
        if flags & IN_STOCK != 0 {
            self.in_stock -= 1;
        } else {
            self.out_of_stock -= 1;
        }
    }
}

fn hash(hasher: &foldhash::fast::RandomState, id: Uuid) -> u64 {
    std::hash::BuildHasher::hash_one(hasher, id)
}

fn flags(product: &ProductRow) -> u8 {
    let band = PRICE_BANDS
        .partition_point(|from| *from <= product.price_cents)
        .max(1)
        - 1;
    (band as u8) << BAND_SHIFT
        | if product.in_stock { IN_STOCK } else { 0 }
        | if product.active { ACTIVE } else { 0 }
}
