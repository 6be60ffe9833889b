//! The arms of `stock`: which oversell, which block other orders, and their statements.

use crate::orders::stock::{
    assert_exactly_the_stock_is_sold, assert_statements, proceeds_during_payment, race_for_last_unit,
};
use crate::orders::stock_contention::{sold_without_deadlock, stock_after_twenty_waited};
use crate::orders::stock_visibility::statements_until_sold_out;
use crate::support::arms::with_arm;

/// The arms that never oversell.
const CORRECT_ARMS: [&str; 3] = ["row_lock_through_payment", "row_lock", "conditional"];

#[tokio::test]
async fn read_then_write_sells_the_last_unit_twice() {
    let (sold, _) = with_arm("stock", "read_then_write", race_for_last_unit).await;
    assert_eq!(sold, 2);
}

#[tokio::test]
async fn the_other_arms_sell_the_last_unit_once() {
    for arm in CORRECT_ARMS {
        let (sold, shop) = with_arm("stock", arm, race_for_last_unit).await;
        assert_eq!((sold, shop.gateway.payment_count()), (1, 1), "{arm}");
    }
}

#[tokio::test]
async fn only_a_row_lock_through_the_payment_blocks_other_orders() {
    for arm in CORRECT_ARMS {
        let proceeds = with_arm("stock", arm, proceeds_during_payment).await;
        assert_eq!(proceeds, arm != "row_lock_through_payment", "{arm}");
    }
}

#[tokio::test]
async fn concurrent_buyers_get_exactly_the_available_stock() {
    for arm in CORRECT_ARMS {
        with_arm("stock", arm, assert_exactly_the_stock_is_sold).await;
    }
}

#[tokio::test]
async fn orders_of_the_same_skus_and_last_units_do_not_deadlock() {
    with_arm("stock", "read_then_write", sold_without_deadlock).await;
    for arm in CORRECT_ARMS {
        assert_eq!(with_arm("stock", arm, sold_without_deadlock).await, 24, "{arm}");
    }
}

#[tokio::test]
async fn buyers_of_one_sku_wait_without_a_connection() {
    with_arm("stock", "read_then_write", stock_after_twenty_waited).await;
    for arm in CORRECT_ARMS {
        let stock = with_arm("stock", arm, stock_after_twenty_waited).await;
        assert_eq!(stock, 0, "{arm}");
    }
}

#[tokio::test]
async fn publishing_the_last_unit_costs_no_statement() {
    for arm in [
        "read_then_write",
        "row_lock_through_payment",
        "row_lock",
        "conditional",
    ] {
        let [first, second, last] = with_arm("stock", arm, statements_until_sold_out).await;
        assert_eq!((second, last), (first, first), "{arm}");
    }
}

#[tokio::test]
async fn each_arm_takes_a_fixed_number_of_statements() {
    for (arm, statements) in [
        // The cart; begin, order, lines, stock, commit; paid.
        ("conditional", 7),
        ("read_then_write", 8),
        ("row_lock", 8),
        ("row_lock_through_payment", 8),
    ] {
        with_arm("stock", arm, async || assert_statements(statements).await).await;
    }
}
