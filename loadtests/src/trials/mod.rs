//! A whole shop as real processes, for what only shows in a run: what is sold twice, lost, or done late.
//!
//! A [`Town`] has an api, a worker, and the third parties with latencies that are set; a database, a Redis database and
//! a virtual host of its own. Buyers come with carts that were made beforehand (`carts.rs`). What the run left is read
//! from the database, the gateway and the mail server (`books.rs`), and from a queue that hears every event (`tap.rs`).
//!
//! `compare` puts the arms of lessons into towns, `limits` the optimized shop. Read next: `town.rs`.

mod books;
mod broker;
mod carts;
mod programs;
mod tap;
mod town;

pub use books::{Books, DoneTimes, done_times};
pub use broker::empty_vhost;
pub use carts::{Cart, Carts, Goods, PLENTY};
pub use programs::{Delay, Simulators, ThirdParties, Worker};
pub use tap::{Heard, Tap};
pub use town::{Place, Town, TownSettings};
