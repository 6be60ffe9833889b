//! Importing exports in different formats, and rejecting files that aren't exports.

use api::import::{ImportError, ImportOptions};
use serde_json::json;

use super::shop::{LENIENT, STRICT, Shop, export, file, skipped};

#[tokio::test]
async fn shopifys_sample_is_imported_completely() {
    let shop = Shop::open().await;
    let report = shop.import_file("apparel.csv", &STRICT).await.unwrap();
    assert_eq!(
        report.to_string(),
        "Imported 5 products (5 new, 0 updated) with 6 variants and 5 images; 0 rows skipped."
    );
    assert_eq!(shop.json("select count(*) from variants").await, 6);
    let shirt = shop.product("ocean-blue-shirt").await;
    assert_eq!(shirt["price"], 5000);
    assert_eq!(shirt["brand"], "partners-demo");
    assert_eq!(shirt["attributes"], json!({"Tags": "men"}));
    assert_eq!(
        shirt["variants"],
        json!([["ocean-blue-shirt-1", "Default", {}, 5000, null, 1]])
    );
    assert_eq!(
        shop.product("classic-varsity-top").await["variants"],
        json!([
            ["classic-varsity-top-1", "Small", {"Size": "Small"}, 6000, null, 1],
            ["classic-varsity-top-2", "Medium", {"Size": "Medium"}, 6000, null, 1],
        ])
    );
    assert_eq!(
        shop.category_path("ocean-blue-shirt").await,
        json!(["uncategorized"])
    );
}

#[tokio::test]
async fn a_windows_file_with_byte_order_mark_options_images_and_html_is_understood() {
    let shop = Shop::open().await;
    let report = shop.import_file("windows-with-bom.csv", &LENIENT).await.unwrap();
    assert_eq!(skipped(&report), []);
    // The blazer's first row has line breaks in its body: it spans lines 2 to 5.
    assert_eq!(report.notes.len(), 1);
    assert_eq!(
        report.notes[0].to_string(),
        "line 6 (wool-blazer): the stock of -2 is taken as 0"
    );
    assert_eq!(
        shop.product("wool-blazer").await,
        json!({
            "title": "Wool Blazer",
            "description": "<p>Woven in <strong>Biella</strong>, says the label: \"pure wool\".</p>\n\
                            <ul>\n<li>Two buttons</li>\n</ul>",
            "active": true, "currency": "EUR", "price": 17950, "compare_at": null, "in_stock": true,
            "image": "https://cdn.example.com/blazer-front.jpg?v=1",
            "attributes": {"Tags": "wool, winter, formal", "Gender": "Male", "Age Group": "Adult"},
            "brand": "Lanificio Rosé",
            "variants": [
                ["BLZ-M-NVY", "M / Navy", {"Size": "M", "Colour": "Navy"}, 18900, 22900, 3],
                ["BLZ-L-NVY", "L / Navy", {"Size": "L", "Colour": "Navy"}, 17950, null, 0],
            ],
            "images": [
                ["https://cdn.example.com/blazer-front.jpg?v=1", "Front, \"worn\""],
                ["https://cdn.example.com/blazer-back.jpg?v=1", "Back"],
                ["https://cdn.example.com/blazer-detail.jpg?v=1", ""],
            ],
            "searchable": true,
        })
    );
    assert_eq!(
        shop.category_path("wool-blazer").await,
        json!(["apparel-accessories", "clothing", "outerwear"])
    );
}

#[tokio::test]
async fn drafts_are_inactive_and_missing_brand_type_sku_and_stock_have_defaults() {
    let shop = Shop::open().await;
    shop.import_file("windows-with-bom.csv", &LENIENT).await.unwrap();
    assert_eq!(
        shop.product("linen-scarf").await,
        json!({
            "title": "Linen Scarf", "description": "Salt & pepper, 5 < 6", "active": false, "currency": "EUR",
            "price": 2500, "compare_at": null, "in_stock": false, "image": null, "attributes": {},
            "brand": "Unbranded", "variants": [["linen-scarf-1", "Default", {}, 2500, null, 0]],
            "images": null, "searchable": true,
        })
    );
    assert_eq!(shop.category_path("linen-scarf").await, json!(["uncategorized"]));
}

#[tokio::test]
async fn the_column_names_of_newer_exports_are_understood() {
    let shop = Shop::open().await;
    let report = shop.import_file("renamed-columns.csv", &STRICT).await.unwrap();
    assert_eq!(
        (report.products_created, report.variants, report.images),
        (1, 2, 1)
    );
    let mug = shop.product("trail-mug").await;
    assert_eq!(
        mug["variants"][1],
        json!(["MUG-B", "Black", {"Colour": "Black"}, 1490, null, 0])
    );
    assert_eq!(shop.category_path("trail-mug").await, json!(["home", "mugs"]));
}

#[tokio::test]
async fn archived_unpublished_and_unlisted_products_are_inactive() {
    let shop = Shop::open().await;
    shop.import(
        "handle,TITLE,published,status,variant price\na,A,true,active,1\nb,B,TRUE,archived,1\nc,C,FALSE,,1\n\
         d,D,,,1\ne,E,true,unlisted,1\n",
    )
    .await;
    let active = shop
        .json("select jsonb_object_agg(slug, active) from products")
        .await;
    assert_eq!(
        active,
        json!({"a": true, "b": false, "c": false, "d": true, "e": false})
    );
}

#[tokio::test]
async fn rows_of_a_product_that_are_not_adjacent_are_merged() {
    let shop = Shop::open().await;
    let csv = export(&[
        ["tee", "Tee", "S", "T-S", "10"],
        ["cap", "Cap", "", "CAP", "5"],
        ["tee", "", "M", "T-M", "9"],
    ]);
    let report = shop.import(&csv).await;
    assert_eq!((report.products_created, report.variants), (2, 3));
    let tee = shop.product("tee").await;
    assert_eq!(tee["variants"][1][0], "T-M");
    assert_eq!(tee["price"], 900);
}

#[tokio::test]
async fn prices_are_in_the_minor_units_of_the_currency() {
    for (code, text, minor_units) in [
        ("JPY", "1500.00", 1500),
        ("EUR", "15.5", 1550),
        ("KWD", "1.234", 1234),
    ] {
        let shop = Shop::open().await;
        let options = ImportOptions {
            currency: code.parse().unwrap(),
            strict: true,
        };
        shop.try_import(&export(&[["tee", "Tee", "", "T", text]]), &options)
            .await
            .unwrap();
        let tee = shop.product("tee").await;
        assert_eq!(
            (&tee["price"], &tee["currency"]),
            (&json!(minor_units), &json!(code))
        );
    }
}

#[tokio::test]
async fn categories_with_one_name_under_two_parents_get_distinct_slugs() {
    let shop = Shop::open().await;
    let csv = "Handle,Title,Product Category,Variant Price\na,A,Women > Shirts,1\nb,B,Men > Shirts,1\n\
               c,C,MEN > shirts,1\nd,D,Men,1\n";
    shop.import(csv).await;
    assert_eq!(shop.category_path("a").await, json!(["women", "shirts"]));
    assert_eq!(shop.category_path("b").await, json!(["men", "shirts-2"]));
    assert_eq!(shop.category_path("c").await, json!(["men", "shirts-2"]));
    assert_eq!(shop.category_path("d").await, json!(["men"]));
}

#[tokio::test]
async fn an_import_names_each_product_once_in_the_change_feed() {
    const CHANGES: &str = "select jsonb_build_array(count(*) filter (where kind = 'product'),
                                  count(*) filter (where kind not in ('product', 'reference')),
                                  (select count(*) from products)) from catalog_changes";
    let shop = Shop::open().await;
    shop.import_file("apparel.csv", &LENIENT).await.unwrap();
    let counts = shop.json(CHANGES).await;
    assert!(counts[2].as_i64() > Some(0), "{counts}");
    assert_eq!((&counts[0], &counts[1]), (&counts[2], &json!(0)), "{counts}");
}

#[tokio::test]
async fn a_header_without_products_imports_nothing_without_an_error() {
    let shop = Shop::open().await;
    let before = shop.snapshot().await;
    let report = shop.import("Handle,Title,Variant Price\n").await;
    assert!(!report.imported);
    assert_eq!(report.to_string(), "Nothing imported: the file has no products.");
    assert_eq!(shop.snapshot().await, before);
}

#[tokio::test]
async fn a_file_that_is_not_a_product_export_is_rejected_with_advice() {
    let shop = Shop::open().await;
    for (csv, message) in [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        (
            "Order,Email\n1,a@example.com\n",
            "the header has no column `Handle`; the file must be Shopify's product",
        ),
        ("Handle,Body\na,b\n", "the header has no column `Title`"),
        ("Handle;Title;Variant Price\na;A;1\n", "not separated by commas"),
        ("PK\u{3}\u{4}\0\0", "not text in UTF-8"),
    ] {
        let error = shop.try_import(csv, &LENIENT).await.unwrap_err().to_string();
        assert!(error.contains(message), "{csv:?}: {error}");
    }
}

#[tokio::test]
async fn a_missing_file_or_a_directory_is_named_in_the_error() {
    let shop = Shop::open().await;
    let missing = shop.import_file("missing.csv", &LENIENT).await.unwrap_err();
    assert!(matches!(&missing, ImportError::FileNotFound(path) if *path == file("missing.csv")));
    assert!(missing.to_string().contains("there is no file"));
    let directory = shop.import_file(".", &LENIENT).await.unwrap_err();
    assert!(matches!(directory, ImportError::Unreadable { .. }));
}
