//! The generator on copies of this repository's sources, as they are and as a fork has them. Compiling what it generates
//! takes minutes, so that isn't done here.

use std::fs;
use std::path::{Path, PathBuf};

use local_services::workspace_root;

use super::name::validate;
use super::{Kind, Planned, generate};

/// What the generator reads. A fork has fewer of the last three.
const SOURCES: [&str; 17] = [
    "Cargo.toml",
    "rustfmt.toml",
    "api/src/lib.rs",
    "api/src/server/app.rs",
    "api/src/server/docs.rs",
    "api/src/server/router.rs",
    "api/tests/main.rs",
    "api/tests/support/shop.rs",
    "shop/src/messages.rs",
    "worker/src/background_tasks/mod.rs",
    "worker/src/consumers/mod.rs",
    "worker/src/settings.rs",
    "worker/tests/main.rs",
    "api/tests/http/snapshots/api__http__documents__routes.snap",
    "api/tests/budgets/operations.rs",
    "api/tests/budgets/operations.json",
    "api/tests/arms/budgets/operations.json",
];

/// A copy of the sources in a temporary directory, deleted with this value.
struct Workspace(PathBuf);

impl Workspace {
    /// `change` gets the text of each file.
    fn copy(test: &str, change: impl Fn(String) -> String) -> Self {
        let copy = std::env::temp_dir().join(format!("xtask-new-{test}-{}", std::process::id()));
        let root = workspace_root().unwrap();
        for path in SOURCES.iter().filter(|path| root.join(path).exists()) {
            fs::create_dir_all(copy.join(path).parent().unwrap()).unwrap();
            fs::write(
                copy.join(path),
                change(fs::read_to_string(root.join(path)).unwrap()),
            )
            .unwrap();
        }
        Self(copy)
    }

    fn generate(&self, kind: Kind, name: &str) -> Vec<Planned> {
        generate(&self.0, kind, name).unwrap().0
    }

    #[track_caller]
    fn rejects(&self, kind: Kind, name: &str, reason: &str) {
        let before = files(&self.0);
        let error = generate(&self.0, kind, name).err().expect("it is rejected");
        assert!(format!("{error:#}").contains(reason), "{error:#}");
        assert_eq!(files(&self.0), before, "nothing is written");
    }

    /// Asserts that each text occurs once. Spaces and line breaks don't matter.
    #[track_caller]
    fn assert_contains(&self, path: &str, texts: &[&str]) {
        let words = |text: &str| text.split_whitespace().collect::<String>();
        let file = fs::read_to_string(self.0.join(path)).unwrap();
        for text in texts {
            assert_eq!(
                words(&file).matches(&words(text)).count(),
                1,
                "{text} in {path}:\n{file}"
            );
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All files below a directory, with their texts.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push((path.clone(), fs::read_to_string(&path).unwrap())),
        }
    }
    all.sort();
    all
}

fn unchanged(text: String) -> String {
    text
}

#[test]
fn a_slice_has_state_a_route_a_tag_and_a_test() {
    let copy = Workspace::copy("slice", unchanged);
    copy.generate(Kind::Slice, "wish_lists");
    copy.assert_contains("api/src/lib.rs", &["pub mod wish_lists;"]);
    let route = ".merge(layers::private(RequestClass::Account, wish_lists())).with_state(";
    let routes = "fn wish_lists() -> OpenApiRouter<AppState> {";
    let import = "use crate::wish_lists::list_wish_lists;";
    copy.assert_contains("api/src/server/router.rs", &[route, routes, import]);
    let state = "App { wish_lists: Arc::new(WishLists { database: Arc::clone(&database), }),";
    let from_ref = "impl FromRef<AppState> for Arc<WishLists> {";
    copy.assert_contains(
        "api/src/server/app.rs",
        &[state, "pub wish_lists: Arc<WishLists>, }", from_ref],
    );
    copy.assert_contains("api/src/server/docs.rs", &["(name = \"Wish lists\", description"]);
    copy.assert_contains(
        "api/src/wish_lists/mod.rs",
        &["pub mod list_wish_lists;", "pub struct WishLists {"],
    );
    copy.assert_contains(
        "api/src/wish_lists/list_wish_lists.rs",
        &["path = \"/v1/wish-lists\""],
    );
    copy.assert_contains("api/tests/main.rs", &["mod wish_lists;"]);
    copy.assert_contains("api/tests/wish_lists/mod.rs", &["\"/v1/wish-lists\""]);
    for budgets in SOURCES[15..].iter().filter(|path| copy.0.join(path).exists()) {
        copy.assert_contains(budgets, &["\"GET /v1/wish-lists\":"]);
    }
    copy.assert_contains(SOURCES[13], &["\"/v1/webhooks/carrier\", \"/v1/wish-lists\", ]"]);
}

#[test]
fn a_consumer_has_a_queue_a_bound_a_handler_and_a_test() {
    let copy = Workspace::copy("consumer", unchanged);
    copy.generate(Kind::Consumer, "loyalty_points");
    let elements = "Consumer::LoyaltyPoints, ];";
    let name = "Consumer::LoyaltyPoints => \"loyalty_points\",";
    let event = "| Consumer::LoyaltyPoints => \"order.paid\",";
    copy.assert_contains(
        "shop/src/messages.rs",
        &["LoyaltyPoints, } impl Consumer {", elements, name, event],
    );
    let handler = "=> { loyalty_points::handle(context, message_id, order_id).await } _ => Err(";
    copy.assert_contains("worker/src/consumers/mod.rs", &["mod loyalty_points;", handler]);
    let setting = "pub loyalty_points_in_flight: u16, }";
    let bound = "Consumer::LoyaltyPoints => self.loyalty_points_in_flight,";
    copy.assert_contains(
        "worker/src/settings.rs",
        &["_LOYALTY_POINTS_IN_FLIGHT\"", setting, bound],
    );
    copy.assert_contains(
        "worker/src/consumers/loyalty_points.rs",
        &["Consumer::LoyaltyPoints"],
    );
    copy.assert_contains("worker/tests/main.rs", &["mod loyalty_points;"]);
    copy.assert_contains("worker/tests/loyalty_points.rs", &["consumer=\"loyalty_points\""]);
}

#[test]
fn a_task_has_an_interval_supervision_and_a_test() {
    let copy = Workspace::copy("task", unchanged);
    copy.generate(Kind::Task, "expire_vouchers");
    let run = "expire_vouchers::run(&self, &health, &shutdown));";
    copy.assert_contains(
        "worker/src/background_tasks/mod.rs",
        &["mod expire_vouchers;", run],
    );
    let setting = "pub expire_vouchers_interval: Duration, }";
    let flag = "long = \"expire-vouchers-interval-ms\"";
    copy.assert_contains(
        "worker/src/settings.rs",
        &["_EXPIRE_VOUCHERS_INTERVAL_MS\"", setting, flag],
    );
    let interval = "tasks.settings.expire_vouchers_interval";
    copy.assert_contains(
        "worker/src/background_tasks/expire_vouchers.rs",
        &[interval, "\"expire_vouchers\""],
    );
    copy.assert_contains("worker/tests/main.rs", &["mod expire_vouchers;"]);
    copy.assert_contains(
        "worker/tests/expire_vouchers.rs",
        &["_EXPIRE_VOUCHERS_INTERVAL_MS\""],
    );
}

#[test]
fn a_fork_with_another_name_and_without_lessons_gets_the_same() {
    let copy = Workspace::copy("fork", |text| {
        let names = [
            ("backstock", "acme"),
            ("BACKSTOCK", "ACME"),
            ("Backstock", "Acme"),
        ];
        names.iter().fold(text, |text, (from, to)| text.replace(from, to))
    });
    for path in &SOURCES[13..] {
        let _ = fs::remove_file(copy.0.join(path));
    }
    for (kind, name) in [
        (Kind::Slice, "zebras"),
        (Kind::Consumer, "points"),
        (Kind::Task, "expiry"),
    ] {
        for file in copy.generate(kind, name) {
            let is_clean = !file.after.to_lowercase().contains("backstock") && !file.after.contains("__");
            assert!(is_clean, "{}:\n{}", file.path, file.after);
        }
    }
    copy.assert_contains(
        "worker/src/settings.rs",
        &["\"ACME_POINTS_IN_FLIGHT\"", "\"ACME_EXPIRY_INTERVAL_MS\""],
    );
    copy.assert_contains("worker/tests/expiry.rs", &["\"ACME_EXPIRY_INTERVAL_MS\""]);
    let test = fs::read_to_string(copy.0.join("api/tests/zebras/mod.rs")).unwrap();
    assert!(test.contains("TestShop::start().await"), "{test}");
}

#[test]
fn a_rejected_name_or_a_missing_place_leaves_all_files_as_they_are() {
    let copy = Workspace::copy("rejected", |text| text.replace("const ALL", "const EVERY"));
    copy.rejects(Kind::Slice, "WishLists", "is not snake_case");
    copy.rejects(
        Kind::Slice,
        "carts",
        "`carts` is used in api/src/lib.rs: choose another name",
    );
    copy.rejects(Kind::Slice, "answer", "`answer` is used in the template");
    copy.rejects(
        Kind::Task,
        "cleanup",
        "`cleanup` is used in worker/src/background_tasks/mod.rs",
    );
    copy.rejects(
        Kind::Consumer,
        "points",
        "shop/src/messages.rs: `const ALL : [` marks where to insert",
    );
    copy.generate(Kind::Task, "points");
    copy.rejects(
        Kind::Task,
        "points",
        "`points` is used in worker/src/background_tasks/mod.rs",
    );
    fs::create_dir_all(copy.0.join("api/src/returns")).unwrap();
    fs::write(copy.0.join("api/src/returns/mod.rs"), "mine").unwrap();
    copy.rejects(Kind::Slice, "returns", "api/src/returns/mod.rs exists");
}

#[test]
fn the_path_of_a_route_is_not_taken_twice() {
    let copy = Workspace::copy("path", unchanged);
    if copy.0.join(SOURCES[13]).exists() {
        copy.rejects(
            Kind::Slice,
            "products",
            "there is \"/v1/products\" already: choose another name",
        );
    }
}

#[test]
fn a_name_is_snake_case_short_and_not_reserved() {
    for name in ["a", "wish_lists", "b2b_prices"] {
        assert!(validate(name).is_ok(), "{name}");
    }
    let error = |name: &str| {
        validate(name)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    for name in [
        "",
        "_",
        "a_",
        "_a",
        "a__b",
        "2a",
        "a_2",
        "wish-lists",
        "Wish",
        "wünsche",
        "a b",
        "../a",
    ] {
        assert!(
            error(name).contains("for example wish_lists"),
            "{name}: {}",
            error(name)
        );
    }
    assert!(error(&"a".repeat(41)).contains("use at most 40"));
    assert!(error("type").contains("for example type_list"));
}
