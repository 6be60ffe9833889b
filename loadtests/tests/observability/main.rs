//! What `deploy/` asks Prometheus for is held against what real processes export: a rule or a panel that asks for a metric,
//! a label or a value that doesn't exist would keep quiet for ever, and look like a shop without faults.
//!
//! Read next: `promql.rs`, then `deploy/prometheus/rules/`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod asked;
mod exported;
mod promql;
#[path = "../town_support/mod.rs"]
mod town_support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use loadtests::load::{Request, Target, fetch};
use loadtests::trials::{Carts, Goods, Town};
use serde_json::Value;

use asked::Query;
use exported::Exported;
use town_support::{services, town};

const PATIENCE: Duration = Duration::from_secs(30);

/// Values that a shop has in its bad days, which no test waits for.
const RARE: [(&str, &str); 2] = [("status", "5xx"), ("outcome", "unknown")];

/// Of RabbitMQ's plugin, which the private RabbitMQ of tests runs without. All else that is asked of the broker, the workers
/// tell.
const OF_RABBITMQ: [&str; 2] = [
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_alarms_free_disk_space_watermark",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_dashboards_ask_only_for_what_is_exported() {
    let exported = exported_by_a_shop().await;
    let faults: BTreeSet<String> = asked::all()
        .iter()
        .flat_map(|query| faults(query, &exported))
        .collect();
    assert!(faults.is_empty(), "{}", Vec::from_iter(faults).join("\n"));
}

#[test]
fn the_shares_of_connections_are_on_a_dashboard() {
    let asked = asked::all();
    for metric in ["waiting", "connections", "lent", "refused_total"] {
        let metric = format!("database_class_{metric}");
        let is_shown =
            |query: &Query| query.place.contains("grafana/dashboards") && query.expression.contains(&metric);
        assert!(asked.iter().any(is_shown), "{metric}");
    }
}

/// A purchase and a sign-in, so that what is counted by route, party or statement has a first series.
async fn exported_by_a_shop() -> Exported {
    let services = services().await;
    let mut town = town(&services, 50, "optimized", &[]).await;
    town.start_worker("relay,consumers,upkeep").await.unwrap();
    let goods = Goods::choose(&mut town.monitor, 1, 1, 10).await.unwrap();
    let mut carts = Carts::of(goods);
    let order = carts.make(&mut town.monitor, 1).await.unwrap()[0]
        .order("tok_ok")
        .unwrap();
    for request in [order, Request::get("/v1/products?limit=1").unwrap()] {
        let answer = fetch(&town.shop().target(), &request).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.status);
    }
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);

    let mut exported = Exported::default();
    exported.scrape(&metrics(town.shop().internal_address()).await, "api");
    exported.scrape(&metrics_of_worker(&town).await, "worker");
    // Most routes were not asked for: the API's own description has them all.
    let answer = fetch(&town.shop().target(), &Request::get("/openapi.json").unwrap())
        .await
        .unwrap();
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        exported.know("route", path);
    }
    town.stop().await.unwrap();
    add_others(&mut exported);
    exported
}

async fn metrics(address: SocketAddr) -> String {
    let answer = fetch(&Target::new(address), &Request::get("/metrics").unwrap())
        .await
        .unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// What waits is counted now and then: until it was counted once.
async fn metrics_of_worker(town: &Town) -> String {
    let begun = Instant::now();
    loop {
        let text = metrics(town.worker.as_ref().unwrap().internal_address()).await;
        if text.contains("\nqueue_messages{") {
            return text;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the worker doesn't count what waits:\n{text}"
        );
        // Between two looks.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What Prometheus makes itself, from our rules or from its own knowledge, and what others export.
fn add_others(exported: &mut Exported) {
    for metric in OF_RABBITMQ {
        exported.scrape(&format!("{metric} 0\n"), "rabbitmq");
    }
    exported.add("up", &["job", "shop", "instance"]);
    exported.add("ALERTS", &["alertname", "alertstate", "severity"]);
    for name in asked::recorded() {
        let [level, _metric, _operations] = name.split(':').collect::<Vec<_>>()[..] else {
            panic!("`{name}` is not level:metric:operations");
        };
        exported.add(&name, &level.split('_').collect::<Vec<_>>());
    }
}

/// What a query asks for in vain.
fn faults(query: &Query, exported: &Exported) -> Vec<String> {
    let mut faults = Vec::new();
    let asked = match promql::read(&query.expression) {
        Ok(asked) => asked,
        Err(error) => return vec![format!("{}: {error}", query.place)],
    };
    let mut all_labels = BTreeSet::new();
    for selector in &asked.selectors {
        let metric = &selector.metric;
        let Some(labels) = exported.labels(metric) else {
            faults.push(format!("nobody exports `{metric}`"));
            continue;
        };
        all_labels.extend(labels.keys());
        for matcher in &selector.matchers {
            let (label, value) = (&matcher.label, &matcher.value);
            match labels.get(label) {
                None => faults.push(format!("`{metric}` has no label `{label}`")),
                Some(values) if !query.is_made_up => {
                    let alternatives = value.split('|').filter(|_| matcher.is_regex);
                    let whole = Some(value.as_str()).filter(|_| !matcher.is_regex);
                    for sought in alternatives.chain(whole) {
                        if !can_be(label, sought, matcher.is_regex, values) {
                            faults.push(format!("no `{metric}` has {label}=\"{sought}\""));
                        }
                    }
                }
                Some(_) => {}
            }
        }
    }
    for label in asked
        .grouped_by
        .iter()
        .filter(|label| !all_labels.contains(label))
    {
        faults.push(format!(
            "nothing has the label `{label}` in `{}`",
            query.expression
        ));
    }
    faults
        .iter()
        .map(|fault| format!("{}: {fault}", query.place))
        .collect()
}

/// Whether a series can have this value. No known value means: any.
fn can_be(label: &str, sought: &str, is_regex: bool, values: &BTreeSet<String>) -> bool {
    let is_variable = sought.starts_with('$');
    let fits = |value: &String| {
        if is_regex {
            matches(sought, value)
        } else {
            sought == value
        }
    };
    is_variable || RARE.contains(&(label, sought)) || values.is_empty() || values.iter().any(fits)
}

/// As much of regular expressions as our rules use: escapes, and at most one `.*` or `.+`.
fn matches(pattern: &str, value: &str) -> bool {
    let plain = |piece: &str| piece.replace('\\', "");
    match pattern.replace(".+", ".*").split_once(".*") {
        None => plain(pattern) == value,
        Some((start, end)) => value
            .strip_prefix(&plain(start))
            .is_some_and(|rest| rest.ends_with(&plain(end))),
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let mut exported = Exported::default();
    let text = "# HELP hits_total Hits.\nhits_total{outcome=\"hit\"} 1\nwait_seconds_bucket{le=\"0.5\"} 1\n";
    exported.scrape(text, "api");
    let faults = |expression: &str| {
        let query = Query {
            place: "here".to_owned(),
            expression: expression.to_owned(),
            is_made_up: false,
        };
        faults(&query, &exported)
    };
    let whole = "sum by (shop, le) (rate(wait_seconds_bucket[1m])) > rate(hits_total{job=\"api\", outcome=~\"h.+\"}[1m])";
    assert_eq!(faults(whole), [""; 0]);
    assert_eq!(
        faults("misses_total > 0"),
        ["here: nobody exports `misses_total`"]
    );
    assert_eq!(
        faults("hits_total{kind=\"a\"}"),
        ["here: `hits_total` has no label `kind`"]
    );
    assert_eq!(
        faults("hits_total{outcome=~\"hit|miss\"}"),
        ["here: no `hits_total` has outcome=\"miss\""]
    );
    assert_eq!(
        faults("hits_total{job=\"worker\"}"),
        ["here: no `hits_total` has job=\"worker\""]
    );
    assert_eq!(
        faults("sum by (route) (hits_total)"),
        ["here: nothing has the label `route` in `sum by (route) (hits_total)`"]
    );
}

#[test]
fn what_is_recorded_is_asked_for() {
    let asked: BTreeSet<String> = asked::all()
        .iter()
        .filter(|query| !query.is_made_up)
        .flat_map(|query| promql::read(&query.expression).unwrap().selectors)
        .map(|selector| selector.metric)
        .collect();
    let unused: Vec<String> = asked::recorded()
        .into_iter()
        .filter(|name| !asked.contains(name))
        .collect();
    assert_eq!(unused, [""; 0], "nobody reads these");
}

#[test]
fn dashboards_are_whole() {
    let sources: Vec<String> = asked::files("grafana/provisioning/datasources", "yml")
        .iter()
        .flat_map(|(_, text)| asked::values(text, "uid"))
        .collect();
    let mut uids = BTreeMap::new();
    for (path, dashboard) in asked::dashboards() {
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        assert_eq!(
            uids.insert(uid, path.clone()),
            None,
            "{path}: its uid is another's"
        );
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{path}: two panels have one id");
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let title = panel["title"].as_str().unwrap();
            let says_why = panel["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(says_why, "{path}: `{title}` has no description");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{path}: `{title}` asks for nothing");
            for target in targets {
                let source = target["datasource"]["uid"].as_str().unwrap();
                assert!(
                    sources.iter().any(|known| known == source),
                    "{path}: `{title}` asks {source}"
                );
            }
        }
    }
}
