//! The products that facets of a search count. Their number is bounded, so a common word costs no more than a rare one.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::catalog::Catalog;
use crate::catalog::filters::ProductFilters;
use crate::catalog::reference::Snapshot;
use crate::catalog::search::Matching;
use crate::catalog::search::expected_rows::explain;
use crate::catalog::search::indexed_search::{IndexedSearch, lexemes};
use crate::database::InstrumentedConnection;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// A prefix is common if it has more expected matches than this many times the bound. Collecting it from the inverted
/// index then takes longer than reading a sample of the table.
const COMMON_PREFIX: f64 = 10.0;

/// The maximum number of rows that a sample reads, as a multiple of the bound.
const MAX_SAMPLED: f64 = 5.0;

/// A sample is used only if it is expected to hold at least this fraction of the bound in matches: 1 / `LEAST_SAMPLE`.
const LEAST_SAMPLE: f64 = 8.0;

/// Products that match the words and the filters that have lexemes.
#[derive(Debug, Default)]
pub struct Candidates {
    /// At most `facet_candidates`.
    pub ids: Vec<Uuid>,
    /// Whether more products match, or may match.
    pub are_cut: bool,
}

/// How candidates are found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Access {
    /// By the inverted index.
    Index,
    /// In a sample of this percentage of the table's pages. Each request reads the same pages.
    Sample(f64),
}

/// Finds candidates in no particular order, because sorting would read all matches.
///
/// # Errors
/// When no connection becomes free in time, or Postgres fails or times out.
pub async fn find(
    catalog: &Catalog,
    timings: &Timings,
    filters: &ProductFilters,
    matching: &Matching,
) -> Result<Candidates, ApiError> {
    let bound = catalog.limits.facet_candidates as usize;
    let mut connection = catalog.database.acquire(timings).await?;
    let Some((mut sql, access)) = compose(catalog, &mut connection, filters, matching).await? else {
        return Ok(Candidates::default());
    };
    // The limit is a literal, and the statement is planned for its words instead of being prepared. With an unknown
    // limit the planner would assume a tenth of the table.
    sql.push(" limit ").push(bound + 1);
    let candidates = sql.build_query_as().persistent(false);
    let visited: Vec<(Uuid, bool)> = candidates.fetch_all(&mut connection).await?;
    drop(connection);
    let are_cut = access != Access::Index || visited.len() > bound;
    let candidates = visited.into_iter().take(bound);
    let ids = candidates.filter_map(|(id, matches)| matches.then_some(id));
    Ok(Candidates {
        ids: ids.collect(),
        are_cut,
    })
}

/// Composes the statement without its limit. It returns products, and whether each matches. `None` when no product can
/// match.
async fn compose(
    catalog: &Catalog,
    connection: &mut InstrumentedConnection<'_>,
    filters: &ProductFilters,
    matching: &Matching,
) -> Result<Option<(QueryBuilder<Postgres>, Access)>, ApiError> {
    #[cfg(feature = "baselines")]
    if let Matching::Like(pattern) = matching {
        let mut sql = QueryBuilder::new("select p.id, true from products p where p.active and ");
        pattern.push_condition(&mut sql);
        return Ok(Some((sql, Access::Index)));
    }
    let query = matching.text_query(connection).await?;
    let (brand, category) = (filters.brand.as_deref(), filters.category.as_deref());
    let reference = catalog.reference.with_slugs(connection, brand, category).await?;
    let (Some(query), Some(lexemes)) = (query, filter_lexemes(filters, &reference)) else {
        return Ok(None);
    };
    let mut search = IndexedSearch::new(&query, &lexemes);
    let access = choose_access(catalog, connection, &mut search).await?;
    // Includes inactive products, which the facets leave out when they count. Skipping them here would read an
    // unbounded number of further rows.
    let mut sql = QueryBuilder::new("select s.product_id, ");
    search.push_filter(&mut sql);
    sql.push(" from search_rows s");
    if let Access::Sample(percentage) = access {
        sql.push(format!(" tablesample system ({percentage}) repeatable (1)"));
    }
    sql.push(" where true");
    search.push_indexed(&mut sql);
    Ok(Some((sql, access)))
}

/// Chooses by the planner's row estimates. May leave a prefix to the filter of `search`.
async fn choose_access(
    catalog: &Catalog,
    connection: &mut InstrumentedConnection<'_>,
    search: &mut IndexedSearch<'_>,
) -> Result<Access, ApiError> {
    if !search.has_prefix() {
        return Ok(Access::Index);
    }
    let bound = f64::from(catalog.limits.facet_candidates);
    let products = catalog.statistics.get(connection).await?.products;
    let mut sql = QueryBuilder::new("explain (format json) select from search_rows s where true");
    search.push(&mut sql);
    if !search.has_prefix_and_others() {
        let matches = explain(&mut sql, connection).await?.total;
        return Ok(sample_or_index(bound, products, matches));
    }
    search.push_parts(&mut sql);
    // The planner drops a select whose condition can't hold, so there may be fewer than three.
    if let [matches, prefix, others] = explain(&mut sql, connection).await?.selects[..] {
        let access = sample_or_index(bound, products, matches);
        if access != Access::Index {
            return Ok(access);
        }
        // Rows that the filter discards count towards the statement's limit, so it visits a bounded number of rows.
        // That is better when the prefix is common, the rest of the query is rarer, and enough of the visited rows
        // match.
        let is_rest_rarer = prefix > COMMON_PREFIX * bound && others < prefix / 2.0;
        if is_rest_rarer && matches * LEAST_SAMPLE > others {
            search.filters_prefix = true;
        } else {
            search.plan_prefix(bound, [prefix, others, matches], (bound / matches).min(1.0));
        }
    }
    Ok(Access::Index)
}

/// A sample that is expected to hold as many matches as the bound, or as many as [`MAX_SAMPLED`] permits. The index if
/// there are few matches or the sample would be too small. Before the table's first `analyze`, `products` is 0 and
/// nothing is known, so the index is used too.
fn sample_or_index(bound: f64, products: f64, matches: f64) -> Access {
    if products < matches {
        return Access::Index;
    }
    let sampled = (bound * products / matches).min(bound * MAX_SAMPLED);
    let is_large_enough = matches * sampled >= products * bound / LEAST_SAMPLE;
    if matches > COMMON_PREFIX * bound && is_large_enough {
        Access::Sample((100.0 * sampled / products).min(100.0))
    } else {
        Access::Index
    }
}

/// The lexemes that brand, category and stock filters require. `None` for an unknown brand or category, which no
/// product has.
fn filter_lexemes(filters: &ProductFilters, reference: &Snapshot) -> Option<String> {
    let brand = match &filters.brand {
        Some(slug) => Some(reference.brand_by_slug(slug)?.id),
        None => None,
    };
    let category = match &filters.category {
        Some(slug) => Some(reference.category_by_slug(slug)?.id),
        None => None,
    };
    Some(lexemes::all_of(brand, category, filters.in_stock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_holds_the_bound_or_an_eighth_of_it() {
        // A sample is expected to hold its share of the table times the matches.
        assert_eq!(sample_or_index(100.0, 20_000.0, 10_000.0), Access::Sample(1.0));
        assert_eq!(sample_or_index(100.0, 20_000.0, 2_000.0), Access::Sample(2.5));
        assert_eq!(
            sample_or_index(100.0, 20_000.0, 1_000.0),
            Access::Index,
            "the index has few to collect"
        );
        assert_eq!(
            sample_or_index(100.0, 1_000_000.0, 20_000.0),
            Access::Index,
            "a sample would hold only ten"
        );
        assert_eq!(
            sample_or_index(100.0, 1_000_000.0, 25_000.0),
            Access::Sample(0.05)
        );
    }

    #[test]
    fn nothing_is_sampled_before_the_first_analyze() {
        assert_eq!(sample_or_index(100.0, 0.0, 5_000.0), Access::Index);
    }
}
