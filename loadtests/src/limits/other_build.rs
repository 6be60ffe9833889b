//! This build of the api beside another: each on a copy of the frozen shop that it has migrated to its own schema, since no
//! build starts on a schema which is newer than its own, and with a Redis database of its own.

use std::path::Path;

use anyhow::Result;

use crate::database::{clone_database, drop_database, migrate, url_of};
use crate::shop::ShopSettings;

const THIS_DATABASE: &str = "backstock_limits_this";
const OTHER_DATABASE: &str = "backstock_limits_other";

/// Another build, and what it shares with this one.
#[derive(Debug, Clone, Copy)]
pub struct OtherBuild<'a> {
    /// Its api.
    pub api_binary: &'a Path,
    /// Any database of the server.
    pub server_url: &'a str,
    /// The frozen shop.
    pub frozen_template: &'a str,
    /// A Redis database that no other shop has.
    pub redis_url: &'a str,
}

impl OtherBuild<'_> {
    /// Makes the databases of both, and returns the settings of this build and of the other. Those are `settings` but for
    /// what is a build's own: `settings.variants` may only name lessons and arms that both have.
    pub(super) async fn beside(&self, settings: &ShopSettings) -> Result<[ShopSettings; 2]> {
        let this = ShopSettings {
            database_url: self.database(&settings.api_binary, THIS_DATABASE).await?,
            ..settings.clone()
        };
        let other = ShopSettings {
            api_binary: self.api_binary.to_owned(),
            is_other_build: true,
            database_url: self.database(self.api_binary, OTHER_DATABASE).await?,
            redis_url: self.redis_url.to_owned(),
            log_path: settings.log_path.with_extension("other.log"),
            ..settings.clone()
        };
        Ok([this, other])
    }

    /// Drops what [`OtherBuild::beside`] has made.
    pub(super) async fn drop_databases(&self) -> Result<()> {
        drop_database(self.server_url, THIS_DATABASE).await?;
        drop_database(self.server_url, OTHER_DATABASE).await
    }

    async fn database(&self, api_binary: &Path, name: &str) -> Result<String> {
        clone_database(self.server_url, self.frozen_template, name).await?;
        let url = url_of(self.server_url, name);
        // The other build may be of before there was a way to migrate offline.
        migrate(api_binary, &url, "chosen", &[]).await?;
        Ok(url)
    }
}
