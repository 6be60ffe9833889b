//! The table of lessons: the one place where lessons and arms are declared.

use crate::{Arm, Lesson, ParseSelectionError, Preset, SwitchPoint};

/// Declares each lesson's enum, its field in [`Selection`] and its row in [`LESSONS`], so that the three can't
/// diverge. `preset_baseline` is the arm of the `baseline` preset.
macro_rules! lessons {
    ($(
        $(#[$doc:meta])*
        $field:ident: $type:ident {
            summary: $summary:literal,
            question: $question:literal,
            switch_point: $switch_point:ident,
            context: [$($other:ident = $other_arm:ident),*],
            baselines: { $($base:ident = $base_name:ident: $base_summary:literal),+ },
            preset_baseline: $preset:ident,
            optimized: $best:ident = $best_name:ident: $best_summary:literal,
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
            pub enum $type {
                $(
                    #[doc = $base_summary]
                    #[cfg(feature = "baselines")]
                    $base,
                )+
                #[doc = $best_summary]
                $best,
            }

            impl $type {
                /// The name of this arm in `BACKSTOCK_VARIANTS`.
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $(
                            #[cfg(feature = "baselines")]
                            Self::$base => stringify!($base_name),
                        )+
                        Self::$best => stringify!($best_name),
                    }
                }

                /// The arm of that name, if this build has it.
                pub fn from_name(name: &str) -> Option<Self> {
                    $(
                        #[cfg(feature = "baselines")]
                        if name == stringify!($base_name) {
                            return Some(Self::$base);
                        }
                    )+
                    (name == stringify!($best_name)).then_some(Self::$best)
                }
            }
        )+

        /// The arm of every lesson that a process runs. Selected at startup and never consulted by a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Selection {
            /// The preset that the changes were applied to.
            pub preset: Preset,
            $(
                $(#[$doc])*
                pub $field: $type,
            )+
        }

        impl Selection {
            /// Every lesson at its optimized arm.
            pub const fn optimized() -> Self {
                Self { preset: Preset::Optimized, $($field: $type::$best,)+ }
            }

            /// Every lesson at its baseline arm.
            #[cfg(feature = "baselines")]
            pub const fn baseline() -> Self {
                Self { preset: Preset::Baseline, $($field: $type::$preset,)+ }
            }

            /// Lesson and arm names, in the order of [`LESSONS`].
            pub fn arms(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($field), self.$field.as_str()),)+].into_iter()
            }

            pub(crate) fn set(&mut self, lesson: &str, arm: &str) -> Result<&'static str, ParseSelectionError> {
                match lesson {
                    $(
                        stringify!($field) => {
                            self.$field = $type::from_name(arm).ok_or_else(|| ParseSelectionError::UnknownArm {
                                lesson: stringify!($field),
                                arm: arm.to_owned(),
                            })?;
                            Ok(stringify!($field))
                        }
                    )+
                    other => Err(ParseSelectionError::UnknownLesson { lesson: other.to_owned() }),
                }
            }
        }

        /// Every lesson, in teaching order.
        pub const LESSONS: &[Lesson] = &[$(
            Lesson {
                name: stringify!($field),
                summary: $summary,
                question: $question,
                switch_point: SwitchPoint::$switch_point,
                arms: &[
                    $(
                        #[cfg(feature = "baselines")]
                        Arm { name: stringify!($base_name), summary: $base_summary },
                    )+
                    Arm { name: stringify!($best_name), summary: $best_summary },
                ],
                #[cfg(feature = "baselines")]
                baseline: $type::$preset.as_str(),
                #[cfg(not(feature = "baselines"))]
                baseline: $type::$best.as_str(),
                optimized: $type::$best.as_str(),
                context: &[$((stringify!($other), stringify!($other_arm))),*],
            },
        )+];
    };
}

lessons! {
    /// Which secondary indexes the database has.
    indexes: Indexes {
        summary: "Which secondary indexes the tables have",
        question: "What do indexes that fit the queries save a read, and what do they cost a write?",
        switch_point: Database,
        context: [catalog_cache = none, facets = scan],
        baselines: {
            None = none: "Primary keys and unique constraints only.",
            ForeignKeys = foreign_keys: "One index on each foreign key: what most teams have."
        },
        preset_baseline: ForeignKeys,
        optimized: Chosen = chosen: "Indexes chosen for the storefront's queries, in their sort orders.",
    }
    /// How a list continues after its first page.
    pagination: Pagination {
        summary: "How a list continues after its first page",
        question: "From which depth does skipping rows cost more than remembering where the page ended?",
        switch_point: Handler,
        context: [catalog_cache = none],
        baselines: { Offset = offset: "`offset N`: the database reads and drops all rows before the page." },
        preset_baseline: Offset,
        optimized: Cursor = cursor: "A signed cursor: the database seeks to where the last page ended.",
    }
    /// How the variants and images of a page of products are loaded.
    listing: Listing {
        summary: "How the variants and images of a page of products are loaded",
        question: "What does loading details per product (N+1) cost, and how does the distance to the database multiply it?",
        switch_point: Component,
        context: [catalog_cache = none],
        baselines: { NPlusOne = n_plus_one: "Two statements per product of the page." },
        preset_baseline: NPlusOne,
        optimized: Batched = batched: "One statement for all products of the page.",
    }
    /// Which columns a list reads.
    projection: Projection {
        summary: "Which columns a list reads",
        question: "What do columns cost that are read and then discarded?",
        switch_point: Component,
        context: [catalog_cache = none],
        baselines: { AllColumns = all_columns: "Reads whole rows, including long descriptions, and discards what it doesn't send." },
        preset_baseline: AllColumns,
        optimized: Narrow = narrow: "Reads only the columns that the response shows.",
    }
    /// How products are found by search words.
    search: Search {
        summary: "How products are found by search words",
        question: "What does an inverted index save over reading every text, and what does each find that the other does not?",
        switch_point: Component,
        context: [catalog_cache = none],
        baselines: { Like = like: "`ilike '%…%'` over titles and descriptions." },
        preset_baseline: Like,
        optimized: FullText = full_text: "Full-text search with ranks and prefixes, typos caught by trigrams on the words of titles.",
    }
    /// What the planner knows of a list's values when it chooses a plan.
    planner_estimates: PlannerEstimates {
        summary: "What the planner knows of a list's values",
        question: "What does a plan cost that was chosen for a value which the planner couldn't see?",
        switch_point: Component,
        context: [catalog_cache = none],
        baselines: { Hidden = hidden: "Named statements with values behind subselects: one estimate for all values." },
        preset_baseline: Hidden,
        optimized: Visible = visible: "Values that the planner sees, and a custom plan where they matter.",
    }
    /// How products are counted for facets and for the category tree.
    facets: Facets {
        summary: "How products are counted for facets and for the category tree",
        question: "What do counts cost over every product's row, and what do they cost over in-process columns?",
        switch_point: Component,
        context: [catalog_cache = none],
        baselines: { Scan = scan: "One `group by` over the rows of all products that match." },
        preset_baseline: Scan,
        optimized: Columns = columns: "One pass over in-process columns, which the change feed maintains.",
    }
    /// Where responses of the catalogue are cached.
    catalog_cache: CatalogCache {
        summary: "Where responses of the catalogue are cached",
        question: "What does a cache of finished responses save, and when does it only add cost?",
        switch_point: Component,
        context: [],
        baselines: { None = none: "Every response comes from Postgres." },
        preset_baseline: None,
        optimized: Redis = redis: "Finished responses in Redis, looked up before Postgres.",
    }
    /// How a request gets its database connection.
    connections: Connections {
        summary: "How a request gets its database connection",
        question: "What does a connection per request cost, and what happens when there are more requests than connections?",
        switch_point: Component,
        context: [catalog_cache = none, facets = scan],
        baselines: { PerRequest = per_request: "Opens a connection for each request that needs the database." },
        preset_baseline: PerRequest,
        optimized: Pooled = pooled: "Borrows a connection from a bounded pool.",
    }
    /// How responses are compressed.
    compression: Compression {
        summary: "How responses are compressed",
        question: "How many bytes does compression save, for how much CPU, and from which link speed does it pay?",
        switch_point: Layer,
        context: [],
        baselines: {
            None = none: "Responses are sent uncompressed.",
            Gzip = gzip: "gzip, for clients that accept it."
        },
        preset_baseline: None,
        optimized: Brotli = brotli: "Brotli for clients that accept it, otherwise gzip.",
    }
    /// What an access token is, and where it is verified.
    sessions: Sessions {
        summary: "How a request is authenticated, and where its token is looked up",
        question: "What does a session lookup cost each request, and what does a token without a lookup cost at sign-out?",
        switch_point: Component,
        context: [],
        baselines: {
            Table = table: "An opaque token, looked up in Postgres by each request.",
            Redis = redis: "An opaque token, looked up in Redis, and in Postgres on a miss."
        },
        preset_baseline: Table,
        optimized: Jwt = jwt: "A signed, self-contained token without a lookup.",
    }
    /// Where passwords are hashed.
    password_hashing: PasswordHashing {
        summary: "On which threads passwords are hashed",
        question: "What happens to other requests while customers sign in?",
        switch_point: Component,
        context: [],
        baselines: { Runtime = runtime: "On the threads that run requests." },
        preset_baseline: Runtime,
        optimized: Pool = pool: "On threads for blocking work, with bounded concurrency.",
    }
    /// How the lines of a page of orders are loaded.
    order_history: OrderHistory {
        summary: "How the lines of a page of orders are loaded",
        question: "What does a customer's history cost when lines are loaded order by order (N+1), near the database and far from it?",
        switch_point: Component,
        context: [],
        baselines: { NPlusOne = n_plus_one: "One statement per order of the page." },
        preset_baseline: NPlusOne,
        optimized: Batched = batched: "One statement for all orders of the page.",
    }
    /// How an order's lines are inserted.
    order_lines: OrderLines {
        summary: "How the lines of an order are inserted",
        question: "What does a statement per line cost while the order's transaction is open?",
        switch_point: Component,
        context: [reservation = multi_statement],
        baselines: { RowByRow = row_by_row: "One `insert` per line." },
        preset_baseline: RowByRow,
        optimized: OneStatement = one_statement: "One `insert` for all lines.",
    }
    /// How an order takes its units from stock.
    stock: Stock {
        summary: "How an order takes its units from the stock",
        question: "How do we prevent overselling, and what does that cost under contention?",
        switch_point: Component,
        context: [reservation = multi_statement],
        baselines: {
            ReadThenWrite = read_then_write: "Reads the stock, compares it, writes what is left: oversells under concurrency.",
            RowLockThroughPayment = row_lock_through_payment: "Locks the stock's rows, and holds the locks through the payment.",
            RowLock = row_lock: "Locks the stock's rows in a short transaction, before the payment."
        },
        preset_baseline: ReadThenWrite,
        optimized: Conditional = conditional: "One conditional update, last in a short transaction.",
    }
    /// How many statements reserve an order.
    reservation: Reservation {
        summary: "How many statements reserve an order: its row, its lines and its stock",
        question: "What do round trips cost while a transaction is open, and what is saved when it is one statement?",
        switch_point: Component,
        context: [],
        baselines: { MultiStatement = multi_statement: "A transaction with a statement for each step." },
        preset_baseline: MultiStatement,
        optimized: SingleStatement = single_statement: "One statement for orders without a coupon, with few lines.",
    }
    /// When the side work of a paid order is done.
    checkout: Checkout {
        summary: "When the side work of a paid order is done: email, label and sales count",
        question: "What does a customer wait for when the request does everything, and when is all side work done?",
        switch_point: Component,
        context: [],
        baselines: { Inline = inline: "In the request, sequentially." },
        preset_baseline: Inline,
        optimized: Queued = queued: "By the worker, triggered by the event that the order is paid.",
    }
    /// Where sold units are counted.
    sales_counts: SalesCounts {
        summary: "Where sold units are counted",
        question: "What does a counter cost that is a column of a wide row with many indexes, and how stale may a rank be?",
        switch_point: Component,
        context: [checkout = inline],
        baselines: { PerOrder = per_order: "One update of the product's row per order and product." },
        preset_baseline: PerOrder,
        optimized: Batched = batched: "One upsert into a narrow table for many orders; a bounded task refreshes the sort column.",
    }
    /// When a new customer's welcome mail is sent.
    welcome_email: WelcomeEmail {
        summary: "When the welcome mail is sent",
        question: "What does a registration wait for when it sends its mail itself, and what can get lost?",
        switch_point: Component,
        context: [],
        baselines: { Inline = inline: "In the request, before its response." },
        preset_baseline: Inline,
        optimized: Queued = queued: "By the worker, from an event that is written with the customer.",
    }
    /// How events of an order are published.
    events: Events {
        summary: "How events of an order are published",
        question: "What is lost when a process dies between the database and the broker?",
        switch_point: Component,
        context: [],
        baselines: { DualWrite = dual_write: "Commits, then publishes: an event is lost if the process dies in between." },
        preset_baseline: DualWrite,
        optimized: Outbox = outbox: "A row in the same transaction, which the worker relays.",
    }
}
