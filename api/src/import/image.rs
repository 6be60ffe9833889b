//! A product's images. Any row may have one, with or without a variant.

use std::collections::HashSet;

use super::columns::Column;
use super::product::check_length;
use super::report::ImportReport;
use super::rows::Cells;

/// The bound of the column.
const URL_CHARS_MAX: usize = 2048;
/// Bounds what lists contain per product. Shopify's bound is 512.
const ALT_CHARS_MAX: usize = 1024;
/// Bounds the response of one product. Shopify's bound is 250.
const IMAGES_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Image {
    pub(super) url: String,
    pub(super) alt: String,
}

/// The images sorted by `Image Position`, without duplicate URLs. Invalid ones are reported and skipped.
pub(super) fn read_images(rows: &[(u64, Cells)], handle: &str, report: &mut ImportReport) -> Vec<Image> {
    let mut addresses = HashSet::new();
    let mut images: Vec<(u32, Image)> = Vec::new();
    for (line, cells) in rows {
        match read_image(cells) {
            Ok(Some((_, image))) if !addresses.insert(image.url.clone()) => {}
            Ok(Some(_)) if images.len() == IMAGES_MAX => {
                report.skip(
                    *line,
                    handle,
                    format_args!("its product has more than {IMAGES_MAX} images"),
                );
            }
            Ok(Some(image)) => images.push(image),
            Ok(None) => {}
            Err(reason) => report.skip(*line, handle, format_args!("{reason}; the image is skipped")),
        }
    }
    // A stable sort: images without a position come last, in the file's order.
    images.sort_by_key(|(position, _)| *position);
    images.into_iter().map(|(_, image)| image).collect()
}

fn read_image(cells: &Cells) -> Result<Option<(u32, Image)>, String> {
    let url = cells.get(Column::ImageSource);
    if url.is_empty() {
        return Ok(None);
    }
    let name = Column::ImageSource.name();
    check_length(name, url, URL_CHARS_MAX)?;
    let scheme = url
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    let is_web_address = matches!(scheme.as_deref(), Some("http" | "https"));
    if !is_web_address || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "{name} is not a URL that begins with https:// or http://"
        ));
    }
    let alt = cells.get(Column::ImageAlt);
    check_length(Column::ImageAlt.name(), alt, ALT_CHARS_MAX)?;
    let position = match cells.get(Column::ImagePosition) {
        "" => u32::MAX,
        text => text
            .parse()
            .map_err(|_| format!("{} is not a whole number", Column::ImagePosition.name()))?,
    };
    Ok(Some((
        position,
        Image {
            url: url.to_owned(),
            alt: alt.to_owned(),
        },
    )))
}
