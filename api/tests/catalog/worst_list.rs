//! The worst list of a generated set is as cheap as the best: no combination of filters, order and words reads the catalogue.
//! Counted are the shared buffers of a request's statements, which don't depend on the machine.

use std::sync::Arc;

use serde_json::Value;

use crate::support::arms::{arm, lesson};
use crate::support::database::{Content, Database};
use crate::support::shop::{Changes, TestShop};
use crate::support::wire::{Wire, tell_plans};

/// Lists that are asked for; of each, a second page as well.
const LISTS: usize = 240;

/// What a page may read. A word that walking and fetching find equally dear costs √(1.3 · rows · products) buffers of each:
/// some 730 for a page of 20 of 20,000 products, 1,600 for one of 100, whose rows are another 400. The rest is for statistics,
/// which are estimates.
const MOST_BUFFERS: u64 = 2_500;

/// What a page of 20 may read of a list with a common word, its last one as well.
const MOST_BUFFERS_TO_THE_END: u64 = 1_000;

/// The same seed asks for the same lists.
const SEED: u64 = 20_261_128;

/// SplitMix64.
struct Draws(u64);

impl Draws {
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

/// What lists ask for.
struct Shelf {
    /// Common words first.
    words: Vec<String>,
}

impl Shelf {
    fn text(&self, draws: &mut Draws) -> String {
        let any = |draws: &mut Draws| draws.choose(&self.words).clone();
        match draws.below(8) {
            0 => self.words[draws.below(10)].clone(),
            1 => self.words[draws.below(100)].clone(),
            2 => "absolutely-nothing".to_owned(),
            3 => draws.choose(&["x", "a", "the", "xq"]).to_string(),
            4 => {
                let mut word = any(draws);
                word.remove(3);
                word
            }
            5 => any(draws)[..3].to_owned(),
            6 => format!("{} {}", self.words[draws.below(20)], any(draws)),
            _ => any(draws),
        }
    }

    fn path(&self, draws: &mut Draws) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut sorts = vec!["newest", "price_asc", "price_desc", "best_selling", "rating"];
        if draws.one_in(2) {
            query.append_pair("category", &format!("category-{}", 1 + draws.below(120)));
        }
        if draws.one_in(3) {
            let brands = *draws.choose(&[3, 200]);
            query.append_pair("brand", &format!("brand-{}", 1 + draws.below(brands)));
        }
        if !draws.one_in(3) {
            query.append_pair("q", &self.text(draws));
            sorts.push("relevance");
        }
        if draws.one_in(3) {
            let lowest = 100 << draws.below(11);
            query.append_pair("min_price", &lowest.to_string());
            if draws.one_in(2) {
                query.append_pair("max_price", &(lowest + lowest / 50).to_string());
            }
        }
        if draws.one_in(3) {
            let in_stock = *draws.choose(&["true", "false"]);
            query.append_pair("in_stock", in_stock);
        }
        let sort = *draws.choose(&sorts);
        query.append_pair("sort", sort);
        if draws.one_in(8) {
            query.append_pair("limit", "100");
        }
        format!("/v1/products?{}", query.finish())
    }
}

fn buffers(plans: &[Value]) -> u64 {
    let of = |plan: &Value, kind: &str| plan["Plan"][kind].as_u64().unwrap_or(0);
    plans
        .iter()
        .map(|plan| of(plan, "Shared Hit Blocks") + of(plan, "Shared Read Blocks"))
        .sum()
}

/// A shop whose statements tell their plans, and its words.
async fn shop(planner_estimates: &str) -> (TestShop, Wire, Shelf) {
    let variants = arm(lesson("planner_estimates"), planner_estimates);
    let database = Arc::new(Database::new(Content::Schema, variants.indexes).await);
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
    let shelf = Shelf {
        words: serde_json::from_value(words).unwrap(),
    };
    tell_plans(&database).await;
    let wire = Wire::to(&database).await;
    let changes = Changes::default()
        .set("--database-url", wire.url())
        .set("--database-connections", 1);
    let mut shop = TestShop::on(database, variants, changes).await;
    shop.stop_following_the_epoch().await;
    (shop, wire, shelf)
}

/// The paths with what they read, the dearest first.
async fn costs(planner_estimates: &str) -> Vec<(u64, String)> {
    let (shop, wire, shelf) = shop(planner_estimates).await;
    let mut draws = Draws(SEED);
    let mut all = Vec::new();
    for _ in 0..LISTS {
        let path = shelf.path(&mut draws);
        wire.take_plans();
        let first = shop.get(&path).await.ok();
        all.push((buffers(&wire.take_plans()), path));
        if let Some(next) = first.next() {
            shop.get(&next).await.ok();
            all.push((buffers(&wire.take_plans()), next));
        }
    }
    all.sort_by(|one, other| other.cmp(one));
    all
}

#[tokio::test]
async fn the_worst_list_is_cheap_where_the_planner_sees_values() {
    let costs = costs("visible").await;
    assert!(costs.len() > LISTS, "some lists have a second page");
    assert!(costs[0].0 > 0, "plans are told");
    assert!(costs[0].0 <= MOST_BUFFERS, "{:#?}", &costs[..5]);
}

#[tokio::test]
async fn a_list_with_a_common_word_is_as_cheap_at_its_end_as_at_its_beginning() {
    let (shop, wire, shelf) = shop("visible").await;
    // In a third of the products, which is many more than a page of the order holds.
    let word = &shelf.words[4];
    let mut dear = Vec::new();
    for sort in [
        "relevance",
        "newest",
        "price_asc",
        "price_desc",
        "best_selling",
        "rating",
    ] {
        // A cursor belongs to the list, and not to the size of its pages: the last of these pages are small.
        let mut path = format!("/v1/products?q={word}&sort={sort}&limit=100");
        let mut last_large = None;
        let mut items = 0;
        let mut following = Some(path.clone());
        while let Some(next) = following {
            path = next;
            let page = shop.get(&path).await.ok();
            items += page.each("id").len();
            following = page.next();
            if following.is_some() {
                last_large = following.clone();
            }
        }
        assert!(items > 2_000, "{word} is in {items} products only");
        let mut following = last_large.map(|next| next.replace("limit=100", "limit=20"));
        assert!(following.is_some(), "{path}");
        while let Some(next) = following {
            wire.take_plans();
            let page = shop.get(&next).await.ok();
            let read = buffers(&wire.take_plans());
            assert!(read > 0, "plans are told");
            if read > MOST_BUFFERS_TO_THE_END {
                dear.push((read, next));
            }
            following = page.next();
        }
    }
    assert!(dear.is_empty(), "{dear:#?}");
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn the_worst_list_reads_the_catalogue_where_values_are_hidden() {
    let costs = costs("hidden").await;
    let dear = costs
        .iter()
        .filter(|(buffers, _)| *buffers > MOST_BUFFERS)
        .count();
    assert!(dear >= 5, "only {dear} are dear: {:#?}", &costs[..5]);
}
