//! __Words__, each visible to its customer only. Say here what the slice promises. Read first: `list___name__.rs`.

pub mod list___name__;

use std::sync::Arc;

use crate::database::Database;

/// What the handlers of this slice use.
pub struct __Name__ {
    pub database: Arc<Database>,
}
