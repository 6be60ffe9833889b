//! With `n_plus_one`, the details of a list take one statement per product and kind of detail.

use crate::catalog::listing::{shop_behind_a_proxy, statements};
use crate::support::arms::with_arm;

#[tokio::test]
async fn n_plus_one_sends_a_statement_per_product_and_kind_of_detail() {
    let (shop, proxy) = with_arm("listing", "n_plus_one", shop_behind_a_proxy).await;
    for limit in [1, 7, 20, 100] {
        let both = format!("/v1/products?limit={limit}&include=variants,images");
        assert_eq!(statements(&shop, &proxy, &both).await, 1 + 2 * limit);
        let one = format!("/v1/products?limit={limit}&include=images");
        assert_eq!(statements(&shop, &proxy, &one).await, 1 + limit);
        let none = format!("/v1/products?limit={limit}");
        assert_eq!(statements(&shop, &proxy, &none).await, 1);
    }
    let product = "/v1/products/product-1?include=variants,images,reviews";
    assert_eq!(statements(&shop, &proxy, product).await, 4);
}
