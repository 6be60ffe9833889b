//! Skipped rows and their report.

use serde_json::json;

use super::shop::{LENIENT, STRICT, Shop, export, skipped};

#[tokio::test]
async fn bad_rows_are_reported_by_line_and_reason_and_the_rest_is_imported() {
    let shop = Shop::open().await;
    let report = shop.import_file("bad-rows.csv", &LENIENT).await.unwrap();
    assert_eq!(
        skipped(&report),
        [
            (5, "Variant Price is empty"),
            (6, "SKU TEE-S is also that of line 2"),
            (
                7,
                "Variant Price `1,020.00` has a comma, which may mean thousands or decimals; write 1299.50"
            ),
            (8, "Variant Price is empty"),
            (9, "its product has no valid variant"),
            (10, "has 3 cells, the header has 14"),
            (
                11,
                "Image Src is not a URL that begins with https:// or http://; the image is skipped"
            ),
        ]
    );
    assert_eq!(report.rows_skipped[5].handle, "socks");
    assert_eq!(
        (report.products_created, report.variants, report.images),
        (2, 2, 0)
    );
    assert_eq!(
        shop.product("tee").await["variants"],
        json!([["TEE-S", "S", {"Size": "S"}, 2000, null, 0]])
    );
    assert_eq!(shop.product("priceless").await, json!(null));
    assert_eq!(shop.product("cap").await["images"], json!(null));
}

#[tokio::test]
async fn strict_imports_nothing_when_any_row_is_bad() {
    let shop = Shop::open().await;
    let before = shop.snapshot().await;
    let report = shop.import_file("bad-rows.csv", &STRICT).await.unwrap();
    assert!(!report.imported);
    assert_eq!(report.rows_skipped.len(), 7);
    assert!(
        report.to_string().ends_with("Nothing imported: see above."),
        "{report}"
    );
    assert_eq!(shop.snapshot().await, before);
}

#[tokio::test]
async fn a_sku_of_another_product_is_rejected_with_its_owner() {
    let shop = Shop::open().await;
    shop.import(&export(&[["tee", "Tee", "S", "T-S", "10"]])).await;
    let csv = export(&[
        ["shirt", "Shirt", "S", "T-S", "10"],
        ["shirt", "", "M", "S-M", "10"],
        ["copy", "Copy", "S", "T-S", "10"],
        // Rejected even if the file changes the SKU of its owner, so the result doesn't depend on the order
        // of rows.
        ["tee", "Tee", "S", "T-S2", "10"],
        ["late", "Late", "S", "T-S", "10"],
    ]);
    let report = shop.import(&csv).await;
    assert_eq!(
        skipped(&report),
        [
            (2, "SKU T-S belongs to the product tee"),
            (4, "SKU T-S is also that of line 2"),
            (6, "SKU T-S is also that of line 2"),
        ]
    );
    assert_eq!(
        shop.json("select jsonb_agg(sku order by sku) from variants")
            .await,
        json!(["S-M", "T-S2"])
    );
}

#[tokio::test]
async fn a_product_whose_only_sku_belongs_to_another_is_skipped_with_all_its_rows() {
    let shop = Shop::open().await;
    shop.import(&export(&[["tee", "Tee", "", "T", "10"]])).await;
    let csv = "Handle,Title,Variant SKU,Variant Price,Image Src\ncopy,Copy,T,10,\n\
               copy,,,,https://cdn.example.com/a.jpg\n";
    let report = shop.import(csv).await;
    assert_eq!(
        skipped(&report),
        [
            (2, "SKU T belongs to the product tee"),
            (3, "its product has no valid variant")
        ]
    );
    assert!(!report.imported);
}

#[tokio::test]
async fn a_product_without_title_is_skipped_with_all_its_rows() {
    let shop = Shop::open().await;
    let report = shop
        .import(&export(&[["tee", "", "S", "A", "1"], ["tee", "", "M", "B", "1"]]))
        .await;
    let reason = "none of its product's rows has a Title";
    assert_eq!(skipped(&report), [(2, reason), (3, reason)]);
}

#[tokio::test]
async fn a_repeated_product_is_not_duplicated() {
    let shop = Shop::open().await;
    let rows = [["tee", "Tee", "S", "", "1"], ["tee", "", "M", "", "1"]];
    let report = shop.import(&export(&[rows[0], rows[1], rows[0], rows[1]])).await;
    assert_eq!(
        skipped(&report),
        [
            (4, "has the same options as line 2"),
            (5, "has the same options as line 3")
        ]
    );
    assert_eq!(report.variants, 2);
}

#[tokio::test]
async fn cells_that_are_too_long_or_invalid_are_rejected_with_their_column() {
    let shop = Shop::open().await;
    let long = "x".repeat(300_000);
    for (column, value, reason) in [
        ("Handle", &long[..256], "Handle is longer than 255 characters"),
        (
            "Handle",
            "a/b",
            "Handle can't be part of a URL: it has a space or one of / \\ ? # %",
        ),
        ("Title", &long[..256], "Title is longer than 255 characters"),
        (
            "Body (HTML)",
            &long,
            "Body (HTML) is longer than 65536 characters",
        ),
        ("Vendor", &long[..256], "Vendor is longer than 255 characters"),
        ("Type", &long[..256], "its category is longer than 255 characters"),
        ("Tags", &long, "Tags is longer than 4096 characters"),
        (
            "Variant SKU",
            &long[..256],
            "Variant SKU is longer than 255 characters",
        ),
        (
            "Variant Price",
            "99999999999999999999",
            "Variant Price `99999999999999999999` is too large",
        ),
        ("Variant Price", "-5", "Variant Price `-5` is negative"),
        (
            "Variant Price",
            "5.999",
            "Variant Price `5.999` has more than the 2 decimals of the currency",
        ),
        (
            "Variant Compare At Price",
            "x",
            "Variant Compare At Price `x` is not a number; write it like 1299.50",
        ),
        (
            "Variant Inventory Qty",
            "1.5",
            "Variant Inventory Qty `1.5` is not a whole number up to 2147483647",
        ),
        (
            "Option1 Value",
            "S",
            "Option1 Value has a value, but its product has no such option",
        ),
        ("Title", "nul\0", "contains a NUL character"),
    ] {
        let cells = [
            ("Handle", "tee"),
            ("Title", "Tee"),
            ("Variant Price", "5"),
            (column, value),
        ];
        let mut cells = cells.to_vec();
        if let Some(earlier) = cells[..3].iter().position(|(name, _)| *name == column) {
            cells.remove(earlier);
        }
        let (names, values): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
        let report = shop
            .import(&format!("{}\n{}\n", names.join(","), values.join(",")))
            .await;
        assert_eq!(skipped(&report), [(2, reason)]);
    }
    assert_eq!(shop.json("select count(*) from products").await, 0);
}

#[tokio::test]
async fn a_row_that_is_not_utf_8_is_reported_and_the_rest_imported() {
    let shop = Shop::open().await;
    let mut connection = shop.pool.acquire().await.unwrap();
    let csv = b"Handle,Title,Variant Price\r\ncafe,Caf\xe9,5\r\ntea,Tea,4\r\n";
    let report = api::import::import_reader(&mut connection, &csv[..], &LENIENT)
        .await
        .unwrap();
    assert_eq!(
        skipped(&report),
        [(2, "is not UTF-8; save the file as \"CSV UTF-8\"")]
    );
    assert_eq!(report.products_created, 1);
}
