//! What each kind of start consists of: files from templates, insertions, and what is left to do.

use super::source::Edit::{self, Append, Before, End, Increment, Line, Module, Prepend};

/// Paths and texts have placeholders (`name.rs`).
pub(super) struct Start {
    pub(super) edits: &'static [(&'static str, &'static [Edit])],
    /// Of files that a fork may have deleted.
    pub(super) optional_edits: &'static [(&'static str, &'static [Edit])],
    pub(super) files: &'static [(&'static str, &'static str)],
    pub(super) next: &'static [&'static str],
}

/// A list that is empty yet, for signed-in customers.
pub(super) const SLICE: Start = Start {
    edits: &[
        ("api/src/lib.rs", &[Module("\npub mod __name__;")]),
        (
            "api/src/server/router.rs",
            &[
                Before(&["use crate : :"], "use crate::__name__::list___name__;\n"),
                Before(
                    &["fn app … {", ". with_state ("],
                    ".merge(layers::private(RequestClass::Account, __name__()))\n",
                ),
                End("\n/// Each customer's own __words__.\n\
                     fn __name__() -> OpenApiRouter<AppState> {\n\
                         OpenApiRouter::new().routes(routes!(list___name__::list___name__))\n\
                     }\n"),
            ],
        ),
        (
            "api/src/server/app.rs",
            &[
                Before(&["use crate : :"], "use crate::__name__::__Name__;\n"),
                Append(&["struct App {"], "pub __name__: Arc<__Name__>"),
                // First, because the last fields move the shared components.
                Prepend(
                    &["fn build_app … {", "= App {"],
                    "\n__name__: Arc::new(__Name__ { database: Arc::clone(&database) }),",
                ),
                End("\nimpl FromRef<AppState> for Arc<__Name__> {\n\
                         fn from_ref(state: &AppState) -> Self {\n\
                             Arc::clone(&state.__name__)\n\
                         }\n\
                     }\n"),
            ],
        ),
        (
            "api/src/server/docs.rs",
            &[Append(
                &["tags ("],
                "        (name = \"__Words__\", description = \"Each customer's own __words__\")",
            )],
        ),
        ("api/tests/main.rs", &[Module("\nmod __name__;")]),
    ],
    optional_edits: &[
        (
            "api/tests/http/snapshots/api__http__documents__routes.snap",
            &[Line("    \"/v1/__kebab__\",")],
        ),
        (
            "api/tests/budgets/operations.rs",
            &[Before(
                &["let sign_out"],
                "let get = ada.authorize(Request::get(\"/v1/__kebab__\"));\n\
                 counter.count(\"GET /v1/__kebab__\", 200, get, None).await;\n",
            )],
        ),
        (
            "api/tests/budgets/operations.json",
            &[Line("  \"GET /v1/__kebab__\": 0,")],
        ),
        // The baselines look up access tokens.
        (
            "api/tests/arms/budgets/operations.json",
            &[Line("  \"GET /v1/__kebab__\": 1,")],
        ),
    ],
    files: &[
        ("api/src/__name__/mod.rs", include_str!("templates/slice_mod.rs")),
        (
            "api/src/__name__/list___name__.rs",
            include_str!("templates/slice_list.rs"),
        ),
        (
            "api/tests/__name__/mod.rs",
            include_str!("templates/slice_test.rs"),
        ),
    ],
    next: &[
        "cargo test -p api __name__",
        "Fill in api/src/__name__/list___name__.rs, and add one file per operation",
        "Say what the slice is for, in api/src/__name__/mod.rs and in its tag in api/src/server/docs.rs",
        "When the number of statements changes, record it as api/tests/budgets.rs says",
    ],
};

/// A consumer of `order.paid`. Its queue, its binding and its metrics follow from the enum's variant.
pub(super) const CONSUMER: Start = Start {
    edits: &[
        (
            "shop/src/messages.rs",
            &[
                Append(&["enum Consumer {"], "/// Handles paid orders.\n__Name__"),
                Increment(&["impl Consumer {", "const ALL : ["]),
                Append(&["impl Consumer {", "const ALL … = ["], "Consumer::__Name__"),
                Append(
                    &["impl Consumer {", "fn as_str … {", "match self {"],
                    "Consumer::__Name__ => \"__name__\"",
                ),
                Before(
                    &[
                        "impl Consumer {",
                        "fn event … {",
                        "match self {",
                        "= > \"order.paid\"",
                    ],
                    "| Consumer::__Name__ ",
                ),
            ],
        ),
        (
            "worker/src/consumers/mod.rs",
            &[
                Module("mod __name__;"),
                Before(
                    &["fn handle_event … {", "match ( {", "_ = >"],
                    "(Consumer::__Name__, Event::OrderPaid { order_id }) => {\n\
                         __name__::handle(context, message_id, order_id).await\n\
                     }\n",
                ),
            ],
        ),
        (
            "worker/src/settings.rs",
            &[
                Append(
                    &["struct ConsumerSettings {"],
                    r#"
    /// Messages of the consumer `__name__` handled concurrently. The prefetch is twice this number
    #[arg(long, env = "__VARIABLE___IN_FLIGHT", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub __name___in_flight: u16"#,
                ),
                Append(
                    &["fn in_flight … {", "match consumer {"],
                    "Consumer::__Name__ => self.__name___in_flight",
                ),
            ],
        ),
        ("worker/tests/main.rs", &[Module("mod __name__;")]),
    ],
    optional_edits: &[],
    files: &[
        (
            "worker/src/consumers/__name__.rs",
            include_str!("templates/consumer.rs"),
        ),
        (
            "worker/tests/__name__.rs",
            include_str!("templates/consumer_test.rs"),
        ),
    ],
    next: &[
        "cargo test -p worker __name__",
        "Fill in worker/src/consumers/__name__.rs, and say in shop/src/messages.rs what the consumer does",
        "For another event, change `Consumer::event`, its branch in worker/src/consumers/mod.rs and the test",
        "Document __VARIABLE___IN_FLIGHT in docs/OPERATIONS.md",
    ],
};

/// A round per interval, supervised.
pub(super) const TASK: Start = Start {
    edits: &[
        (
            "worker/src/background_tasks/mod.rs",
            &[
                Module("mod __name__;"),
                Append(
                    &["impl BackgroundTasks {", "fn run … {", "join ! ("],
                    "__name__::run(&self, &health, &shutdown)",
                ),
            ],
        ),
        (
            "worker/src/settings.rs",
            &[Append(
                &["struct BackgroundTaskSettings {"],
                r#"
    /// How often the background task `__name__` runs, in milliseconds
    #[arg(long = "__kebab__-interval-ms", env = "__VARIABLE___INTERVAL_MS", default_value = "60000",
          value_parser = parse_millis)]
    pub __name___interval: Duration"#,
            )],
        ),
        ("worker/tests/main.rs", &[Module("mod __name__;")]),
    ],
    optional_edits: &[],
    files: &[
        (
            "worker/src/background_tasks/__name__.rs",
            include_str!("templates/task.rs"),
        ),
        ("worker/tests/__name__.rs", include_str!("templates/task_test.rs")),
    ],
    next: &[
        "cargo test -p worker __name__",
        "Fill in `round` in worker/src/background_tasks/__name__.rs, and mention the task in mod.rs beside it",
        "Document __VARIABLE___INTERVAL_MS in docs/OPERATIONS.md",
    ],
};
