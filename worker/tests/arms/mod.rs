//! What differs between the arms of the worker's lessons. Deleting this folder deletes the tests of the baselines.

mod sales_counts;
mod selection;
