//! Comparisons on imported products: imported once by the real api, cloned for every arm, and named where they are too
//! few to show a lesson.

// Without baselines there is nothing to compare.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;

use child_process::sibling_program;
use dataset::load;
use loadtests::database::{
    ImportFile, Server, clone_database, drop_database, ensure_imported_template, template,
};
use loadtests::lessons::Facts;
use local_services::{Purpose, Services};
use serde_json::Value;

const PRODUCTS: u64 = 24;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("backstock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The fixture, with a remark that gives each test a file, and so templates, of its own.
    fn products(&self, remark: &str) -> PathBuf {
        let fixture = include_str!("fixtures/products.csv").replace("an evening", remark);
        let path = self.0.join("products.csv");
        std::fs::write(&path, fixture).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn services() -> Services {
    tokio::task::spawn_blocking(|| Services::start(Purpose::Tests))
        .await
        .unwrap()
        .unwrap()
}

fn api_binary() -> PathBuf {
    sibling_program(env!("CARGO_BIN_EXE_backstock-lab"), "api", "backstock-api")
}

/// One command at a time measures on a server.
static ALONE: Mutex<()> = Mutex::new(());

fn compare(services: &Services, arguments: &[&str]) -> Output {
    let _alone = ALONE.lock();
    Command::new(env!("CARGO_BIN_EXE_backstock-lab"))
        .arg("compare")
        .args(arguments)
        .env("BACKSTOCK_DATABASE_URL", services.database_url("postgres"))
        .env("BACKSTOCK_REDIS_URL", services.redis_url(0))
        .env("BACKSTOCK_AMQP_URL", services.amqp_url("/"))
        .output()
        .unwrap()
}

async fn drop_templates_of(server_url: &str, file: &ImportFile) {
    let mut server = Server::connect(server_url).await.unwrap();
    let prefix = format!("{}import_{}", template::PREFIX, &file.digest[..12]);
    for (name, _) in server.with_prefix(&prefix).await.unwrap() {
        server.drop(&name).await.unwrap();
    }
}

#[tokio::test]
async fn clones_of_an_import_have_the_same_products_under_every_index_set() {
    let services = services().await;
    let server_url = services.database_url("postgres");
    let folder = Folder::new("import-clones");
    let file = ImportFile::open(&folder.products("a picnic")).unwrap();
    let api = api_binary();
    // The last is asked for again: what is there is taken as it is.
    let mut seen = Vec::new();
    for (number, set) in ["foreign_keys", "chosen", "chosen"].into_iter().enumerate() {
        let template = ensure_imported_template(&server_url, &api, &file, set)
            .await
            .unwrap();
        let clone = format!("import_clone_{}_{number}", std::process::id());
        clone_database(&server_url, &template, &clone).await.unwrap();
        let mut connection = load::connect(&services.database_url(&clone)).await.unwrap();
        let products: Vec<(String, String)> = sqlx::query_as(
            "select id::text, created_at::text from products \
             union all select id::text, product_id::text from variants order by 1",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let (applied, analyzed): (String, bool) = sqlx::query_as(
            "select arm, (select reltuples = 24 from pg_class where relname = 'products') from index_set",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(applied, set);
        assert!(analyzed, "the planner knows nothing of the products");
        let facts = Facts::read_imported(&mut connection, 1).await.unwrap();
        assert_eq!(facts.products, PRODUCTS);
        // Of few products, and of more than fit on a page.
        assert!(facts.words.contains(&"cobalt".to_owned()), "{:?}", facts.words);
        assert_eq!(facts.common_word.as_deref(), Some("colour"));
        drop(connection);
        drop_database(&server_url, &clone).await.unwrap();
        seen.push((template, products));
    }
    assert_eq!(seen[0].1.len() as u64, PRODUCTS * 3);
    assert_eq!(seen[0].1, seen[1].1);
    assert_ne!(seen[0].0, seen[1].0);
    assert_eq!(seen[1], seen[2]);
    drop_templates_of(&server_url, &file).await;
}

#[tokio::test]
async fn what_a_small_import_cannot_show_is_reported_with_its_reason_and_no_failure() {
    let services = services().await;
    let folder = Folder::new("import-compare");
    let products = folder.products("a wedding");
    let output_folder = folder.0.join("compared");
    let arguments = [
        "--import",
        products.to_str().unwrap(),
        "--lesson",
        "pagination",
        "--lesson",
        "indexes",
        "--output",
        output_folder.to_str().unwrap(),
        "--api-binary",
    ];
    let api = api_binary();
    let output = compare(&services, &[&arguments[..], &[api.to_str().unwrap()]].concat());
    let (table, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        table.contains("imported from products.csv: 24 products"),
        "{table}"
    );

    let file = ImportFile::open(&products).unwrap();
    let text = std::fs::read_to_string(output_folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["scale"], "import");
    assert_eq!(report["settings"]["imported file"], "products.csv");
    assert_eq!(report["settings"]["imported file, SHA-256"], file.digest.as_str());
    assert_eq!(report["settings"]["imported products"], "24");
    let lessons = report["lessons"].as_array().unwrap();
    assert_eq!(lessons.len(), 2);
    for lesson in lessons {
        let reason = lesson["skipped"].as_str().unwrap();
        assert!(reason.contains("only 24 products"), "{reason}");
        assert!(lesson["signature"].is_null() && lesson["same_answers"].is_null());
        assert!(!lesson["scenarios"].as_array().unwrap().is_empty());
    }
    drop_templates_of(&services.database_url("postgres"), &file).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_imported_ends_the_run_with_one_line_and_leaves_no_template() {
    let services = services().await;
    let folder = Folder::new("import-broken");
    let path = folder.0.join("orders.csv");
    std::fs::write(&path, "Name,Email\n#1001,a@example.com\n").unwrap();
    let output_folder = folder.0.join("compared");
    let api = api_binary();
    let arguments = [
        "--import",
        path.to_str().unwrap(),
        "--output",
        output_folder.to_str().unwrap(),
        "--api-binary",
        api.to_str().unwrap(),
    ];
    let output = compare(&services, &arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("orders.csv") && last.contains("Handle"), "{said}");
    assert!(!output_folder.join("report.json").exists());
    let file = ImportFile::open(&path).unwrap();
    let mut server = Server::connect(&services.database_url("postgres")).await.unwrap();
    let prefix = format!("{}import_{}", template::PREFIX, &file.digest[..12]);
    assert_eq!(server.with_prefix(&prefix).await.unwrap(), []);
}

#[test]
fn a_missing_file_and_a_scale_beside_a_file_are_wrong_use() {
    let lab = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_backstock-lab"))
            .arg("compare")
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = lab(&["--import", "/nowhere/products.csv"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("/nowhere/products.csv"), "{said}");
    let (code, said) = lab(&["--import", "products.csv", "--scale", "s"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--scale") && said.contains("--import"), "{said}");
}
