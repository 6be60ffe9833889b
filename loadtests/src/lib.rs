//! The lab: makes data, puts the arms of each lesson under load, and reports what it can prove.
//!
//! It speaks to the product through its public faces only: HTTP, environment, database and metrics. Of the product's
//! code it imports the table of lessons and the names of what is said over the broker, nothing else.

pub mod compare;
pub mod costs;
pub mod database;
pub mod frozen;
pub mod lessons;
pub mod limits;
pub mod load;
pub mod report;
pub mod shop;
pub mod side_by_side;
pub mod statistics;
pub mod trials;
