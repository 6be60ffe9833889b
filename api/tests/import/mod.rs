//! What `backstock-api import` promises, against a real Postgres: `shop.rs` has the shop that each test gets.

mod shop;

mod reading_exports;

mod bad_rows;

mod importing_again;

mod all_or_nothing;
