//! A second import of the same handles.

use serde_json::json;

use super::shop::{LENIENT, Shop, export};

#[tokio::test]
async fn importing_a_file_again_only_replaces_the_rows_of_images() {
    let shop = Shop::open().await;
    for name in ["apparel.csv", "windows-with-bom.csv", "bad-rows.csv"] {
        let first = shop.import_file(name, &LENIENT).await.unwrap();
        let mut before = shop.snapshot().await;
        let second = shop.import_file(name, &LENIENT).await.unwrap();
        assert_eq!(
            (second.products_created, second.products_updated),
            (0, first.products_created)
        );
        assert_eq!((second.variants, second.images), (first.variants, first.images));
        assert_eq!(second.rows_skipped, first.rows_skipped);
        let after = shop.snapshot().await;
        before["changes"] = after["changes"].clone();
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn a_product_is_updated_to_the_content_of_the_file() {
    let shop = Shop::open().await;
    let header = "Handle,Title,Vendor,Type,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,\
                  Variant Price,Image Src\n";
    shop.import(&format!(
        "{header}tee,Tee,Nordhus,Shirts,Size,S,T-S,5,10,https://cdn.example.com/1.jpg\n\
         tee,,,,,M,T-M,5,11,https://cdn.example.com/2.jpg\n\
         cap,Cap,Nordhus,Hats,,,CAP,1,5,\n"
    ))
    .await;
    let variant_id = "select id from variants where sku = 'T-M'";
    let original_id = shop.json(variant_id).await;
    let cap = shop.product("cap").await;
    let report = shop
        .import(&format!(
            "{header}tee,Better Tee,Söder,Tops,Size,M,T-M,0,12,https://cdn.example.com/3.jpg\n\
             tee,,,,,L,T-L,2,13,\n"
        ))
        .await;
    assert_eq!((report.products_created, report.products_updated), (0, 1));
    let tee = shop.product("tee").await;
    assert_eq!(
        tee["variants"],
        json!([["T-M", "M", {"Size": "M"}, 1200, null, 0], ["T-L", "L", {"Size": "L"}, 1300, null, 2]])
    );
    assert_eq!(tee["images"], json!([["https://cdn.example.com/3.jpg", ""]]));
    assert_eq!(
        (&tee["title"], &tee["brand"], &tee["price"]),
        (&json!("Better Tee"), &json!("Söder"), &json!(1200))
    );
    assert_eq!(tee["image"], "https://cdn.example.com/3.jpg");
    assert_eq!(shop.category_path("tee").await, json!(["tops"]));
    assert_eq!(
        shop.json(variant_id).await,
        original_id,
        "a variant is matched by its SKU and keeps its id"
    );
    assert_eq!(
        shop.product("cap").await,
        cap,
        "a product that isn't in the file is unchanged"
    );
    let found = "select count(*) from product_search where document @@ to_tsquery('english', 'better')";
    assert_eq!(shop.json(found).await, 1);
}

#[tokio::test]
async fn brands_and_categories_of_the_shop_are_found_in_any_case_and_keep_their_slugs() {
    let shop = Shop::open().await;
    shop.execute(
        "insert into brands (id, slug, name) values (gen_random_uuid(), 'nord', 'Nordhus');
         insert into categories (id, slug, name) values (gen_random_uuid(), 'tops', 'Shirts')",
    )
    .await;
    shop.import("Handle,Title,Vendor,Type,Variant Price\na,A,NORDHUS,shirts,1\nb,B,Nord,Tops,1\n")
        .await;
    assert_eq!(
        shop.json("select jsonb_object_agg(slug, name) from brands").await,
        json!({"nord": "Nordhus", "nord-2": "Nord"})
    );
    assert_eq!(shop.category_path("a").await, json!(["tops"]));
    assert_eq!(shop.category_path("b").await, json!(["tops-2"]));
}

#[tokio::test]
async fn variants_may_change_their_order() {
    let shop = Shop::open().await;
    shop.import(&export(&[
        ["tee", "Tee", "S", "A", "1"],
        ["tee", "", "M", "B", "1"],
    ]))
    .await;
    shop.import(&export(&[
        ["tee", "Tee", "M", "B", "1"],
        ["tee", "", "S", "A", "1"],
    ]))
    .await;
    assert_eq!(shop.product("tee").await["variants"][0][0], "B");
}

#[tokio::test]
async fn concurrent_imports_are_serialized() {
    let shop = Shop::open().await;
    let (one, two) = tokio::join!(
        shop.import_file("apparel.csv", &LENIENT),
        shop.import_file("apparel.csv", &LENIENT)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.products_created + two.products_created, 5);
    assert_eq!(one.products_updated + two.products_updated, 5);
}

#[tokio::test]
async fn a_variant_that_was_sold_may_be_missing_from_the_next_file() {
    let shop = Shop::open().await;
    let header = "Handle,Title,Vendor,Type,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n";
    shop.import(&format!(
        "{header}tee,Tee,Nordhus,Shirts,Size,S,T-S,5,10\ntee,,,,,M,T-M,5,11\n"
    ))
    .await;
    shop.execute(
        "insert into orders (id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency, status,
                             shipping_method, email, shipping_address)
         values (gen_random_uuid(), now(), 1000, 495, 1495, 'EUR', 'paid', 'standard', 'ada@example.com', '{}');
         insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title,
                                  variant_title)
         select orders.id, 0, variants.id, product_id, 1, 1000, sku, 'Tee', 'S' from orders, variants where sku = 'T-S'",
    )
    .await;
    shop.import(&format!("{header}tee,Tee,Nordhus,Shirts,Size,M,T-M,5,11\n"))
        .await;
    let left = "select jsonb_agg(sku) from variants";
    assert_eq!(shop.json(left).await, json!(["T-M"]));
    let sold = "select jsonb_agg(jsonb_build_array(sku, title, variant_title)) from order_lines";
    assert_eq!(shop.json(sold).await, json!([["T-S", "Tee", "S"]]));
}
