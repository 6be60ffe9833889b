//! Asks for each of the set, and for the two pages that follow a list, and reads what Postgres and the api have spent.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hyper::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::draw::Drawn;
use super::{Cost, Kind, median};
use crate::costs::{LAB_MARK, Statements, ThreadTimes, UPKEEP};
use crate::load::{Fetched, Request, Visitor};
use crate::shop::{Shop, ShopSettings};

/// Each request is measured so often, once it has been asked before.
const TIMES: usize = 5;

/// The api has read the catalogue when it has run no statement for so long.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the api may take, in pauses.
const MOST_PAUSES: usize = 60;

/// How often `next` is followed.
pub(super) const FOLLOWED: usize = 2;

/// How often it is followed, in pages of the most items, to the end of a list. Where a longer list is then is deep enough.
const FOLLOWED_TO_END: usize = 20;

pub(super) async fn measure(settings: &ShopSettings, set: &[Drawn]) -> Result<Vec<Cost>> {
    let mut monitor = PgConnection::connect(&settings.database_url).await?;
    Statements::enable(&mut monitor).await?;
    // A statement that is planned each time pays for it each time. Sessions from now on count that.
    let database: String = sqlx::query_scalar("select quote_ident(current_database())")
        .fetch_one(&mut monitor)
        .await?;
    sqlx::query(AssertSqlSafe(format!(
        "alter database {database} set pg_stat_statements.track_planning = on {LAB_MARK}"
    )))
    .execute(&mut monitor)
    .await?;
    let shop = Shop::start(settings.clone()).await?;
    let mut measuring = Measuring {
        visitor: Visitor::to(&shop.target()),
        monitor,
        pid: shop.pid(),
    };
    measuring.wait_for_replicas().await?;
    let mut costs = Vec::new();
    for (combination, drawn) in set.iter().enumerate() {
        let mut path = drawn.path.clone();
        let followed = if drawn.kind == Kind::List { FOLLOWED } else { 0 };
        for page in 0..=followed {
            let (cost, next) = measuring.request(combination, drawn.kind, page, &path).await?;
            costs.push(cost);
            match next {
                Some(next) => path = next,
                None => break,
            }
        }
        if drawn.to_end {
            let last = measuring.last_page(&path).await?;
            // A short list has ended above.
            if let Some((followed, last)) = last {
                let page = FOLLOWED + followed;
                costs.push(measuring.request(combination, drawn.kind, page, &last).await?.0);
            }
        }
    }
    shop.stop().await?;
    Ok(costs)
}

struct Measuring {
    visitor: Visitor,
    monitor: PgConnection,
    pid: u32,
}

/// What statements have cost so far.
#[derive(Debug, Clone, Copy)]
struct Spent {
    statements: i64,
    buffers: i64,
    ms: f64,
}

impl Measuring {
    /// Waits until the api has read what it keeps of the catalogue. It does so in the background, and the counters can't
    /// tell its statements from those of a request.
    async fn wait_for_replicas(&mut self) -> Result<()> {
        let mut before = self.spent().await?;
        for _ in 0..MOST_PAUSES {
            tokio::time::sleep(PAUSE).await;
            let after = self.spent().await?;
            if after.statements == before.statements && after.statements > 0 {
                return Ok(());
            }
            before = after;
        }
        bail!("the api doesn't stop reading the catalogue")
    }

    /// Follows a list to its end, or far, and returns the address of the last page and how many were followed. A cursor
    /// belongs to the list and not to the page's size.
    async fn last_page(&mut self, path: &str) -> Result<Option<(usize, String)>> {
        let mut path = path.to_owned();
        let mut last = None;
        for followed in 1..=FOLLOWED_TO_END {
            let large = with_limit(&path, "100");
            let answer = self.visitor.fetch(&Request::get(&large)?).await?;
            let Some(next) = next_of(&answer) else { break };
            path = with_limit(&next, limit_of(&path));
            last = Some((followed, path.clone()));
        }
        Ok(last)
    }

    async fn request(
        &mut self,
        combination: usize,
        kind: Kind,
        page: usize,
        path: &str,
    ) -> Result<(Cost, Option<String>)> {
        let request = Request::get(path)?;
        // What the first has to read from disk, the others find.
        let answer = self.visitor.fetch(&request).await?;
        ensure!(
            !answer.status.is_client_error() || answer.status == StatusCode::TOO_MANY_REQUESTS,
            "{path} is answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        let mut statements = Vec::with_capacity(TIMES);
        let mut buffers = Vec::with_capacity(TIMES);
        let mut database = Vec::with_capacity(TIMES);
        let mut api = Vec::with_capacity(TIMES);
        let mut status = answer.status;
        for _ in 0..TIMES {
            let before = self.spent().await?;
            let cpu = ThreadTimes::read(self.pid)?;
            let again = self.visitor.fetch(&request).await?;
            api.push(ThreadTimes::read(self.pid)?.since(&cpu).total().as_secs_f64() * 1e3);
            let after = self.spent().await?;
            statements.push((after.statements - before.statements) as f64);
            buffers.push((after.buffers - before.buffers) as f64);
            database.push(after.ms - before.ms);
            if !again.status.is_success() {
                status = again.status;
            }
        }
        let cost = Cost {
            combination,
            kind,
            page,
            path: path.to_owned(),
            status: status.as_u16(),
            statements: median(statements),
            buffers: median(buffers),
            database_ms: median(database),
            api_ms: median(api),
        };
        Ok((cost, next_of(&answer)))
    }

    async fn spent(&mut self) -> Result<Spent> {
        let upkeep: String = UPKEEP
            .iter()
            .map(|table| format!(" and query not like '%{table}%'"))
            .collect();
        let read = format!(
            "select sum(calls)::int8, sum(shared_blks_hit + shared_blks_read)::int8, sum(total_exec_time + total_plan_time)
             from pg_stat_statements
             where toplevel and dbid = (select oid from pg_database where datname = current_database())
                 and query not like '%backstock-lab%'{upkeep} {LAB_MARK}"
        );
        let (statements, buffers, ms): (Option<i64>, Option<i64>, Option<f64>) =
            sqlx::query_as(AssertSqlSafe(read))
                .fetch_one(&mut self.monitor)
                .await
                .context("cannot read pg_stat_statements")?;
        Ok(Spent {
            statements: statements.unwrap_or_default(),
            buffers: buffers.unwrap_or_default(),
            ms: ms.unwrap_or_default(),
        })
    }
}

fn limit_of(path: &str) -> &str {
    let mut parameters = path.split(['?', '&']);
    let limit = parameters.find_map(|parameter| parameter.strip_prefix("limit="));
    limit.unwrap_or("20")
}

fn with_limit(path: &str, limit: &str) -> String {
    match path.split_once("limit=") {
        Some((before, after)) => {
            let rest = after.find('&').map_or("", |end| &after[end..]);
            format!("{before}limit={limit}{rest}")
        }
        None if path.contains('?') => format!("{path}&limit={limit}"),
        None => format!("{path}?limit={limit}"),
    }
}

fn next_of(answer: &Fetched) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(body.get("next")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_followed_in_large_pages_and_measured_in_its_own() {
        assert_eq!(with_limit("/v1/products", "100"), "/v1/products?limit=100");
        assert_eq!(
            with_limit("/v1/products?q=a", "100"),
            "/v1/products?q=a&limit=100"
        );
        let next = "/v1/products?q=a&limit=20&after=xyz";
        assert_eq!(with_limit(next, "100"), "/v1/products?q=a&limit=100&after=xyz");
        assert_eq!((limit_of(next), limit_of("/v1/products?q=a")), ("20", "20"));
    }
}
