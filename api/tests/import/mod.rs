//! The guarantees of `backstock-api import`, with a real Postgres. `shop.rs` has the shop that each test
//! gets.

mod shop;

mod export_formats;

mod bad_rows;

mod reimport;

mod atomicity;
