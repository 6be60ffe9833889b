//! Reads the file once and groups its rows by handle, adjacent or not. Read next: [`super::product`].

use std::collections::HashMap;
use std::io::{self, Read};

use csv::{ByteRecord, StringRecord};

use super::columns::{Column, Columns};
use super::error::ImportError;
use super::lines::{FILE_BYTES_MAX, Lines};
use super::report::ImportReport;

/// All rows of one handle, in the file's order.
#[derive(Debug)]
pub(super) struct ProductRows {
    pub(super) handle: String,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    /// The line on which it starts, from 1.
    pub(super) line: u64,
    pub(super) content: RowContent,
}

#[derive(Debug)]
pub(super) enum RowContent {
    /// The known columns, in the order of [`Column`]. Other cells aren't kept.
    Cells(Cells),
    /// Why it can't be read.
    Broken(String),
}

#[derive(Debug)]
pub(super) struct Cells(StringRecord);

impl Cells {
    /// The trimmed cell; empty when the file lacks the column.
    pub(super) fn get(&self, column: Column) -> &str {
        self.0.get(column as usize).unwrap_or_default().trim()
    }

    /// Whether any of `columns` is non-empty.
    pub(super) fn any(&self, columns: &[Column]) -> bool {
        columns.iter().any(|column| !self.get(*column).is_empty())
    }
}

/// Reads all rows. Rows without a handle are reported.
///
/// # Errors
/// When the file can't be read, is too large, or isn't a product export.
pub(super) fn read_rows(
    source: impl Read,
    report: &mut ImportReport,
) -> Result<Vec<ProductRows>, ImportError> {
    let lines = Lines::new(source, FILE_BYTES_MAX);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(lines);
    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(reading_failed)? {
        return Err(ImportError::NotCsv("it is empty"));
    }
    let header = std::mem::take(&mut record);
    let header = StringRecord::from_byte_record(header)
        .ok()
        .filter(|header| !header.iter().any(|cell| cell.contains('\0')))
        .ok_or(ImportError::NotCsv(
            "it is not text in UTF-8; save it as \"CSV UTF-8\"",
        ))?;
    let columns = Columns::find(&header)?;

    let mut products = ProductCollector::default();
    while reader.read_byte_record(&mut record).map_err(reading_failed)? {
        let lines = lines_of(&record, reader.position().line());
        products.add(&record, lines, &columns, report);
    }
    Ok(products.in_order)
}

/// The first and the last line of the record that was just read.
///
/// The CSV reader's start position includes blank lines before the record. Every record ends with a line end (see
/// [`Lines`]), so subtracting the line ends within its cells from the next line gives its first. Only for an unclosed
/// quote is the file's last line end within the cells.
fn lines_of(record: &ByteRecord, next_line: u64) -> (u64, u64) {
    let line_ends = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
    let last = next_line - 1;
    let first = record.position().map_or(1, csv::Position::line);
    (first.max(last.saturating_sub(line_ends)), last)
}

fn reading_failed(error: csv::Error) -> ImportError {
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => ImportError::TooLarge {
            mebibytes: FILE_BYTES_MAX / 1024 / 1024,
        },
        csv::ErrorKind::Io(source) => ImportError::Reading(source),
        other => ImportError::Reading(io::Error::other(format!("{other:?}"))),
    }
}

#[derive(Default)]
struct ProductCollector {
    in_order: Vec<ProductRows>,
    by_handle: HashMap<String, usize>,
}

impl ProductCollector {
    fn add(&mut self, record: &ByteRecord, lines: (u64, u64), columns: &Columns, report: &mut ImportReport) {
        let (line, _) = lines;
        if record.iter().all(<[u8]>::is_empty) {
            return;
        }
        let content = read_cells(record, lines, columns);
        let handle = record.get(columns.handle_index()).unwrap_or_default();
        let handle = std::str::from_utf8(handle).unwrap_or_default().trim();
        match (handle, content) {
            ("", RowContent::Broken(reason)) => report.skip(line, "", reason),
            ("", RowContent::Cells(_)) => report.skip(line, "", "Handle is empty"),
            (handle, content) => self.rows_of(handle).push(Row { line, content }),
        }
    }

    fn rows_of(&mut self, handle: &str) -> &mut Vec<Row> {
        let index = match self.by_handle.get(handle) {
            Some(index) => *index,
            None => {
                let index = self.in_order.len();
                self.by_handle.insert(handle.to_owned(), index);
                self.in_order.push(ProductRows {
                    handle: handle.to_owned(),
                    rows: Vec::new(),
                });
                index
            }
        };
        &mut self.in_order[index].rows
    }
}

fn read_cells(record: &ByteRecord, (first_line, last_line): (u64, u64), columns: &Columns) -> RowContent {
    if record.len() != columns.count {
        let mut reason = format!("has {} cells, the header has {}", record.len(), columns.count);
        if last_line > first_line {
            reason += &format!("; the row reaches to line {last_line}: is a quote left open?");
        }
        return RowContent::Broken(reason);
    }
    let mut cells = StringRecord::new();
    for index in columns.indexes() {
        let cell = index.map_or(&b""[..], |index| &record[index]);
        match std::str::from_utf8(cell) {
            // Postgres text can't contain NUL.
            Ok(text) if text.contains('\0') => {
                return RowContent::Broken("contains a NUL character".to_owned());
            }
            Ok(text) => cells.push_field(text),
            Err(_) => return RowContent::Broken("is not UTF-8; save the file as \"CSV UTF-8\"".to_owned()),
        }
    }
    RowContent::Cells(Cells(cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> (Vec<(String, Vec<u64>)>, ImportReport) {
        let mut report = ImportReport::default();
        let products = read_rows(text.as_ref(), &mut report).unwrap();
        let lines = |rows: Vec<Row>| rows.iter().map(|row| row.line).collect();
        (
            products
                .into_iter()
                .map(|product| (product.handle, lines(product.rows)))
                .collect(),
            report,
        )
    }

    #[test]
    fn a_row_is_named_by_the_line_on_which_it_starts() {
        let text =
            "\u{feff}Handle,Title,Body (HTML),Variant Price\na,A,\"x\n\ny\",1\n\n\nb,B,,1\na,,,2\n,,,3";
        for text in [
            text.to_owned(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
        ] {
            let (products, report) = read(text);
            assert_eq!(
                products,
                [("a".to_owned(), vec![2, 8]), ("b".to_owned(), vec![7])]
            );
            assert_eq!(report.rows_skipped.len(), 1);
            assert_eq!(report.rows_skipped[0].line, 9);
            assert_eq!(report.rows_skipped[0].reason, "Handle is empty");
        }
    }

    #[test]
    fn a_quote_left_open_is_suspected_where_it_opens() {
        let mut report = ImportReport::default();
        let text = "Handle,Title,Variant Price\na,A,1\nb,\"B,1\nc,C,1\nd,D,1\n";
        let products = read_rows(text.as_bytes(), &mut report).unwrap();
        let row = &products[1].rows[0];
        assert_eq!((products.len(), row.line), (2, 3));
        let RowContent::Broken(reason) = &row.content else {
            panic!("{row:?}")
        };
        assert_eq!(
            reason,
            "has 2 cells, the header has 3; the row reaches to line 5: is a quote left open?"
        );
    }

    #[test]
    fn invalid_utf_8_breaks_only_its_row() {
        let (products, _) = read(b"Handle,Title,Variant Price\na,A\xff,1\nb,B,1\n\xff,C,1\n");
        assert_eq!(products.len(), 2);
    }

    #[test]
    fn empty_rows_are_skipped_silently() {
        let (products, report) = read("Handle,Title,Variant Price\n,,\na,A,1\n,,\n");
        assert_eq!(products, [("a".to_owned(), vec![3])]);
        assert!(report.rows_skipped.is_empty());
    }
}
