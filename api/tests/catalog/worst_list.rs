//! The worst list of a generated set is as cheap as the best: no combination of filters, sort order and words
//! reads the whole catalogue. The measure is the shared buffers of a request's statements, because they don't
//! depend on the machine.

use std::sync::Arc;

use serde_json::Value;

use crate::support::database::{Content, Database};
use crate::support::postgres_proxy::{PostgresProxy, log_plans};
use crate::support::shop::{Changes, TestShop};

/// The number of generated lists; a second page of each is read as well.
const LISTS: usize = 240;

/// The maximum that a page may read. Up to 1,000 unexpected matches are read before a smaller range is, and the rows of a
/// page of 100 take 400 buffers. The rest is tolerance, because statistics are estimates.
pub const MAX_BUFFERS: u64 = 2_000;

/// The maximum that a page of 20 may read in a list with a common word, up to the last page.
const MAX_BUFFERS_PER_SMALL_PAGE: u64 = 1_000;

/// The same seed generates the same lists.
const SEED: u64 = 20_261_128;

/// The SplitMix64 generator.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Generates the parameters of lists.
struct ListGenerator {
    /// The most common words first.
    words: Vec<String>,
}

impl ListGenerator {
    fn text(&self, rng: &mut Rng) -> String {
        let any = |rng: &mut Rng| rng.choose(&self.words).clone();
        match rng.below(8) {
            0 => self.words[rng.below(10)].clone(),
            1 => self.words[rng.below(100)].clone(),
            2 => "absolutely-nothing".to_owned(),
            3 => rng.choose(&["x", "a", "the", "xq"]).to_string(),
            4 => {
                let mut word = any(rng);
                word.remove(3);
                word
            }
            5 => any(rng)[..3].to_owned(),
            6 => format!("{} {}", self.words[rng.below(20)], any(rng)),
            _ => any(rng),
        }
    }

    fn path(&self, rng: &mut Rng) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut sorts = vec!["newest", "price_asc", "price_desc", "best_selling", "rating"];
        if rng.one_in(2) {
            query.append_pair("category", &format!("category-{}", 1 + rng.below(120)));
        }
        if rng.one_in(3) {
            let brands = *rng.choose(&[3, 200]);
            query.append_pair("brand", &format!("brand-{}", 1 + rng.below(brands)));
        }
        if !rng.one_in(3) {
            query.append_pair("q", &self.text(rng));
            sorts.push("relevance");
        }
        if rng.one_in(3) {
            let lowest = 100 << rng.below(11);
            query.append_pair("min_price", &lowest.to_string());
            if rng.one_in(2) {
                query.append_pair("max_price", &(lowest + lowest / 50).to_string());
            }
        }
        if rng.one_in(3) {
            let in_stock = *rng.choose(&["true", "false"]);
            query.append_pair("in_stock", in_stock);
        }
        let sort = *rng.choose(&sorts);
        query.append_pair("sort", sort);
        if rng.one_in(8) {
            query.append_pair("limit", "100");
        }
        format!("/v1/products?{}", query.finish())
    }
}

fn buffers(plans: &[Value]) -> u64 {
    let blocks = |plan: &Value, kind: &str| plan["Plan"][kind].as_u64().unwrap_or(0);
    plans
        .iter()
        .map(|plan| blocks(plan, "Shared Hit Blocks") + blocks(plan, "Shared Read Blocks"))
        .sum()
}

/// A shop behind a proxy that collects its query plans, and a generator with its words.
async fn shop() -> (TestShop, PostgresProxy, ListGenerator) {
    let database = Arc::new(Database::new(Content::Schema).await);
    database.execute(include_str!("worst_list.sql")).await;
    database.execute("vacuum (analyze) products").await;
    database.execute("vacuum (analyze) search_rows").await;
    database.execute("vacuum (analyze) search_words").await;
    let words = database
        .json(
            "select jsonb_agg(word order by products desc, word)
             from ts_stat('select to_tsvector(''simple'', title) from products') as found (word, products, entries)",
        )
        .await;
    let generator = ListGenerator {
        words: serde_json::from_value(words).unwrap(),
    };
    log_plans(&database).await;
    let proxy = PostgresProxy::start(&database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .set("--database-connections", 1)
        .without_cache();
    let mut shop = TestShop::on(database, changes).await;
    shop.stop_following_changes().await;
    (shop, proxy, generator)
}

/// The buffers that each path reads, the most expensive first.
pub async fn costs() -> Vec<(u64, String)> {
    let (shop, proxy, generator) = shop().await;
    let mut rng = Rng(SEED);
    let mut all = Vec::new();
    for _ in 0..LISTS {
        let path = generator.path(&mut rng);
        proxy.take_plans();
        let first = shop.get(&path).await.ok();
        all.push((buffers(&proxy.take_plans()), path));
        if let Some(next) = first.next() {
            shop.get(&next).await.ok();
            all.push((buffers(&proxy.take_plans()), next));
        }
    }
    all.sort_by(|one, other| other.cmp(one));
    all
}

#[tokio::test]
async fn the_worst_list_is_cheap() {
    let costs = costs().await;
    assert!(costs.len() > LISTS, "some lists have a second page");
    assert!(costs[0].0 > 0, "plans are collected");
    assert!(costs[0].0 <= MAX_BUFFERS, "{:#?}", &costs[..5]);
}

#[tokio::test]
async fn the_last_page_of_a_common_word_is_as_cheap_as_the_first() {
    let (shop, proxy, generator) = shop().await;
    // The word is in a third of the products, many times the size of a page.
    let word = &generator.words[4];
    let mut expensive = Vec::new();
    for sort in [
        "relevance",
        "newest",
        "price_asc",
        "price_desc",
        "best_selling",
        "rating",
    ] {
        // A cursor doesn't depend on the page size: the last pages are read again as small ones.
        let mut path = format!("/v1/products?q={word}&sort={sort}&limit=100");
        let mut last_large_page = None;
        let mut items = 0;
        let mut next_path = Some(path.clone());
        while let Some(next) = next_path {
            path = next;
            let page = shop.get(&path).await.ok();
            items += page.each("id").len();
            next_path = page.next();
            if next_path.is_some() {
                last_large_page = next_path.clone();
            }
        }
        assert!(items > 2_000, "{word} is only in {items} products");
        let mut next_path = last_large_page.map(|next| next.replace("limit=100", "limit=20"));
        assert!(next_path.is_some(), "{path}");
        while let Some(next) = next_path {
            proxy.take_plans();
            let page = shop.get(&next).await.ok();
            let read = buffers(&proxy.take_plans());
            assert!(read > 0, "plans are collected");
            if read > MAX_BUFFERS_PER_SMALL_PAGE {
                expensive.push((read, next));
            }
            next_path = page.next();
        }
    }
    assert!(expensive.is_empty(), "{expensive:#?}");
}

/// The statistics of Postgres decide how a page is read. They are old and incomplete here: most products share two
/// ratings, and a few have one that came after the last `analyze`.
#[tokio::test]
async fn a_list_with_words_is_complete_whatever_the_statistics_know() {
    let (shop, _proxy, generator) = shop().await;
    let database = &shop.database;
    database
        .execute(
            "update products set rating_hundredths = (array[500, 500, 400, 400, 100])[1 + price_cents % 5]",
        )
        .await;
    database.execute("vacuum (analyze) search_rows").await;
    database
        .execute(
            "update products set rating_hundredths = (array[50, 450, 499])[1 + price_cents % 3] where sales_count % 40 = 0",
        )
        .await;
    // Words that one product in 3, in 20 and in 100 has, about.
    let words = |numbers: &[usize]| -> String {
        let words: Vec<&str> = numbers
            .iter()
            .map(|number| generator.words[*number].as_str())
            .collect();
        words.join(" ")
    };
    let texts = [
        words(&[4]),
        words(&[60]),
        words(&[600]),
        words(&[1, 4]),
        words(&[600, 1]),
    ];
    // A stop word excludes nothing.
    let behind_a_stop_word = format!("the {}", generator.words[1]);
    for text in texts.iter().chain([&behind_a_stop_word]) {
        let (others, prefix) = text.rsplit_once(' ').unwrap_or(("", text));
        let others = if others == "the" { "" } else { others };
        let query = format!(
            "{} '{prefix}':*",
            if others.is_empty() {
                String::new()
            } else {
                format!("'{others}' &")
            }
        );
        for (sort, key) in [
            ("newest", "created_at desc, id desc"),
            ("price_asc", "price_cents, id"),
            ("price_desc", "price_cents desc, id desc"),
            ("best_selling", "sales_count desc, id desc"),
            ("rating", "rating_hundredths desc, id desc"),
        ] {
            let expected = database
                .json(&format!(
                    "select coalesce(jsonb_agg(p.id order by {key}), '[]')
                     from products p
                     join (select product_id from search_rows
                           where document @@ to_tsquery('pg_catalog.english', $${query}$$)) s on s.product_id = p.id
                     where p.active"
                ))
                .await;
            let pages = shop
                .follow(&format!(
                    "/v1/products?q={}&sort={sort}&limit=97",
                    text.replace(' ', "+")
                ))
                .await;
            let listed: Vec<Value> = pages.iter().flat_map(|page| page.each("id")).collect();
            assert_eq!(Value::from(listed), expected, "{text} by {sort}");
        }
    }
}

/// Of each category below, as many products are read as the statistics let expect of a page.
#[tokio::test]
async fn a_merged_list_is_complete_if_one_category_has_the_whole_page() {
    let (shop, proxy, _) = shop().await;
    let database = &shop.database;
    // The first merged list of a minute reads the statistics as well.
    shop.get("/v1/products?category=category-2").await.ok();
    proxy.take_plans();
    let spread = shop
        .get("/v1/products?category=category-1&sort=newest")
        .await
        .ok();
    assert_eq!(spread.items().len(), 20);
    let plans = proxy.take_plans();
    assert_eq!(plans.len(), 1, "a page that is spread is read once: {plans:#?}");
    database
        .execute(
            "update products set sales_count = sales_count + 1000000
             where category_id = (select id from categories where slug = 'category-24')",
        )
        .await;
    for (sort, key) in [
        ("best_selling", "p.sales_count desc, p.id desc"),
        ("price_asc", "p.price_cents, p.id"),
    ] {
        let expected = database
            .json(&format!(
                "select jsonb_agg(p.id order by {key}) from products p join categories c on c.id = p.category_id
                 where p.active and (c.slug = 'category-1' or c.parent_id = (select id from categories where slug = 'category-1'))"
            ))
            .await;
        for limit in [20, 100] {
            let path = format!("/v1/products?category=category-1&sort={sort}&limit={limit}");
            let pages = shop.follow(&path).await;
            let listed: Vec<Value> = pages.iter().flat_map(|page| page.each("id")).collect();
            assert_eq!(Value::from(listed), expected, "{path}");
        }
    }
}
