//! Words to search for: such that both arms of `search` must find the same products.

use anyhow::Result;
use sqlx::{AssertSqlSafe, PgConnection};

use super::facts::texts;
use crate::costs::LAB_MARK;

/// In the descriptions of generated products one of ten closings has it. It is its own stem, and no other word of the
/// texts begins with it or holds it: both arms find the same products.
const COMMON_GENERATED: &str = "cardboard";

/// Words of imported texts that are tried, rare ones and common ones: each takes two searches over all products.
const RARE_TRIED: usize = 60;
const COMMON_TRIED: usize = 12;

/// Words for the lesson `search`.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// Of few products.
    pub(super) rare: Vec<String>,
    /// Of more products than fit on a page.
    pub(super) common: Option<String>,
}

/// Of generated data: coined names that begin titles, and a word of the descriptions.
pub(super) async fn generated(connection: &mut PgConnection) -> Result<Words> {
    // The first word of a title; of generated titles it is the series' coined name of eight letters.
    let rare = "select word from (select lower(split_part(title, ' ', 1)) as word from products where active) first \
                where word ~ '^[a-z]{8}$' group by word having count(*) between 2 and 80 order by word limit 400";
    Ok(Words {
        rare: texts(connection, rare).await?,
        common: Some(COMMON_GENERATED.to_owned()),
    })
}

/// Of any texts: whole words from them for which both conditions, that of the substring and that of the search document,
/// hold for the same products. Stop words, and words whose stem leads to others, drop out.
pub(super) async fn found_alike(connection: &mut PgConnection) -> Result<Words> {
    // On a small catalogue a tenth of it is few.
    let rare = "holding between 1 and least(80, greatest(2, (select count(*) from products where active) / 10)) \
                order by md5(word)";
    let common = "holding > 20 order by holding desc, word";
    let mut common = alike(connection, common, COMMON_TRIED).await?;
    common.truncate(1);
    Ok(Words {
        rare: alike(connection, rare, RARE_TRIED).await?,
        common: common.pop(),
    })
}

async fn alike(connection: &mut PgConnection, which: &str, most: usize) -> Result<Vec<String>> {
    let sql = format!(
        "with held as materialized ( \
             select word, count(distinct id) as holding \
             from (select id, regexp_split_to_table(lower(title || ' ' || description), '[[:space:][:punct:]]+') as word \
                   from products where active) texts \
             where word ~ '^[a-z]{{6,20}}$' group by word), \
         tried as materialized (select word, holding from held where {which} limit {most}) \
         select word from tried where not exists ( \
             select from products p left join product_search s on s.product_id = p.id \
             where p.active and (p.title ilike '%' || word || '%' or p.description ilike '%' || word || '%') \
                   is distinct from coalesce(s.document @@ to_tsquery('pg_catalog.english', '''' || word || ''':*'), false)) \
         order by holding desc, word {LAB_MARK}"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?)
}
