//! Asks for each of the set, and for the two pages that follow a list, and reads what Postgres and the api have spent.

use anyhow::{Context, Result, ensure};
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

/// How often `next` is followed.
const FOLLOWED: usize = 2;

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

fn next_of(answer: &Fetched) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(body.get("next")?.as_str()?.to_owned())
}
