//! All arms of a lesson return equal responses to the same generated requests.

mod accounts;
mod catalog;
mod orders;
