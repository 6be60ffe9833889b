//! The report of an import: what was imported, what was skipped and why.

use std::fmt;

/// Longer handles and quoted values are truncated in the report.
const SHOWN_CHARS_MAX: usize = 60;

/// A remark on a row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRemark {
    /// The line on which the row starts, from 1.
    pub line: u64,
    /// The row's `Handle`; may be empty.
    pub handle: String,
    /// What is wrong with it, or was changed.
    pub reason: String,
}

/// What an import wrote, skipped and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether anything was written. A strict import with a skipped row writes nothing.
    pub imported: bool,
    pub products_created: u64,
    /// Products that existed under the same handle.
    pub products_updated: u64,
    pub variants: u64,
    pub images: u64,
    /// Skipped rows, or parts of rows, in the file's order.
    pub rows_skipped: Vec<RowRemark>,
    /// Rows that were imported with changes.
    pub notes: Vec<RowRemark>,
}

impl ImportReport {
    pub(super) fn skip(&mut self, line: u64, handle: &str, reason: impl fmt::Display) {
        self.rows_skipped.push(RowRemark {
            line,
            handle: handle.to_owned(),
            reason: reason.to_string(),
        });
    }

    pub(super) fn note(&mut self, line: u64, handle: &str, reason: impl fmt::Display) {
        self.notes.push(RowRemark {
            line,
            handle: handle.to_owned(),
            reason: reason.to_string(),
        });
    }

    /// Sorts the remarks by line: they are added by product.
    pub(super) fn sort(&mut self) {
        self.rows_skipped.sort_by_key(|remark| remark.line);
        self.notes.sort_by_key(|remark| remark.line);
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.notes {
            writeln!(f, "note, {remark}")?;
        }
        for remark in &self.rows_skipped {
            writeln!(f, "skipped, {remark}")?;
        }
        if !self.imported {
            let why = if self.rows_skipped.is_empty() {
                "the file has no products"
            } else {
                "see above"
            };
            return write!(f, "Nothing imported: {why}.");
        }
        let products = self.products_created + self.products_updated;
        write!(
            f,
            "Imported {} ({} new, {} updated) with {} and {}; {} skipped.",
            Counted(products, "product"),
            self.products_created,
            self.products_updated,
            Counted(self.variants, "variant"),
            Counted(self.images, "image"),
            Counted(self.lines_skipped(), "row"),
        )
    }
}

impl ImportReport {
    /// Lines, not remarks: both variant and image of a row may be invalid.
    fn lines_skipped(&self) -> u64 {
        let mut lines: Vec<u64> = self.rows_skipped.iter().map(|remark| remark.line).collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len() as u64
    }
}

impl fmt::Display for RowRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.handle.is_empty() {
            write!(f, " ({})", Shown(&self.handle))?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Untrusted text from the file, on one line of bounded length.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index == SHOWN_CHARS_MAX {
                return f.write_str("…");
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

struct Counted(u64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        write!(f, "{count} {noun}{}", if *count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_reads_as_sentences_in_the_files_order() {
        let mut report = ImportReport {
            imported: true,
            products_created: 1,
            variants: 2,
            ..ImportReport::default()
        };
        report.skip(9, "shirt", "late");
        report.skip(3, "", "early");
        report.skip(3, "", "early, too");
        report.note(4, "shirt\n", "stock -2 is taken as 0");
        report.sort();
        assert_eq!(
            report.to_string(),
            "note, line 4 (shirt\\n): stock -2 is taken as 0\n\
             skipped, line 3: early\n\
             skipped, line 3: early, too\n\
             skipped, line 9 (shirt): late\n\
             Imported 1 product (1 new, 0 updated) with 2 variants and 0 images; 2 rows skipped."
        );
    }

    #[test]
    fn an_empty_import_says_so() {
        assert_eq!(
            ImportReport::default().to_string(),
            "Nothing imported: the file has no products."
        );
    }
}
