//! Reads SMTP commands of bounded length, and a mail up to its final dot.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// RFC 5321 requires 512 bytes (4.5.3.1.4), and more for the parameters of extensions.
const MAX_COMMAND_BYTES: usize = 2_048;

/// The maximum piece of a mail's line that is read at a time.
const PIECE_BYTES: usize = 8_192;

/// The result of reading a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Line(Vec<u8>),
    /// It was read to its end and discarded.
    TooLong,
    /// The client disconnected.
    End,
}

/// Reads the next command, without its line ending.
pub(super) async fn read_command(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Command> {
    let mut line = Vec::new();
    if !read_piece(reader, &mut line, MAX_COMMAND_BYTES).await? {
        return Ok(Command::End);
    }
    if !line.ends_with(b"\n") {
        let mut rest = Vec::new();
        while !rest.ends_with(b"\n") {
            rest.clear();
            if !read_piece(reader, &mut rest, PIECE_BYTES).await? {
                return Ok(Command::End);
            }
        }
        return Ok(Command::TooLong);
    }
    line.pop();
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(Command::Line(line))
}

/// Reads a mail up to `CRLF . CRLF` and undoes dot-stuffing (RFC 5321, 4.5.2). `None` when the mail is too large; it is
/// still read to its end, because the client reads the reply only then.
///
/// Only CRLF ends a line. Accepting a bare LF would allow SMTP smuggling: one server sees two mails where others see one.
pub(super) async fn read_mail(
    reader: &mut (impl AsyncBufRead + Unpin),
    max_bytes: usize,
) -> io::Result<Option<Vec<u8>>> {
    let (mut mail, mut is_too_large) = (Vec::new(), false);
    let (mut is_at_line_start, mut ended_with_cr) = (true, false);
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if !read_piece(reader, &mut piece, PIECE_BYTES).await? {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the client disconnected within a mail",
            ));
        }
        if is_at_line_start && piece == b".\r\n" {
            return Ok((!is_too_large).then_some(mail));
        }
        let unstuffed = if is_at_line_start && piece.starts_with(b".") {
            &piece[1..]
        } else {
            &piece[..]
        };
        if mail.len() + unstuffed.len() > max_bytes {
            is_too_large = true;
            mail = Vec::new();
        }
        if !is_too_large {
            mail.extend_from_slice(unstuffed);
        }
        is_at_line_start = piece.ends_with(b"\r\n") || (ended_with_cr && piece == b"\n");
        ended_with_cr = piece.ends_with(b"\r");
    }
}

/// Appends up to and including the next LF, at most `max` bytes. `false` at the end of the stream.
async fn read_piece(
    reader: &mut (impl AsyncBufRead + Unpin),
    piece: &mut Vec<u8>,
    max: usize,
) -> io::Result<bool> {
    let mut left = max;
    while left > 0 {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // An unterminated line is discarded.
            return Ok(false);
        }
        let available = &available[..available.len().min(left)];
        let line_end = available.iter().position(|byte| *byte == b'\n');
        let taken = line_end.map_or(available.len(), |at| at + 1);
        piece.extend_from_slice(&available[..taken]);
        reader.consume(taken);
        left -= taken;
        if line_end.is_some() {
            break;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn mail(wire: &[u8], max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        // A small buffer splits lines at every position.
        let mut whole = tokio::io::BufReader::with_capacity(3, wire);
        read_mail(&mut whole, max_bytes).await
    }

    #[tokio::test]
    async fn dot_stuffing_is_undone_and_a_single_dot_ends_the_mail() {
        let read = mail(b"one\r\n..two\r\n...\r\n.\r\nQUIT\r\n", 100).await.unwrap();
        assert_eq!(read.unwrap(), b"one\r\n.two\r\n..\r\n");
    }

    #[tokio::test]
    async fn a_bare_line_feed_ends_neither_a_line_nor_a_mail() {
        let read = mail(b"one\n.\nMAIL FROM:<x>\n\n.\r\nin\r\n.\r\n", 100)
            .await
            .unwrap();
        assert_eq!(read.unwrap(), b"one\n.\nMAIL FROM:<x>\n\n.\r\nin\r\n");
    }

    #[tokio::test]
    async fn a_line_longer_than_a_piece_stays_whole_and_keeps_its_dots() {
        for length in [PIECE_BYTES - 2, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1] {
            let line = [vec![b'x'; length], b".\r\n".to_vec()].concat();
            let wire = [&line[..], b"..end\r\n.\r\n"].concat();
            let read = mail(&wire, 100_000).await.unwrap().unwrap();
            assert_eq!(read, [&line[..], b".end\r\n"].concat(), "{length}");
        }
    }

    #[tokio::test]
    async fn a_mail_over_the_limit_is_read_to_its_end() {
        let mut reader = &b"12345678\r\n12345678\r\n.\r\nQUIT\r\n"[..];
        assert_eq!(read_mail(&mut reader, 19).await.unwrap(), None);
        assert_eq!(
            read_command(&mut reader).await.unwrap(),
            Command::Line(b"QUIT".to_vec())
        );
    }

    #[tokio::test]
    async fn a_mail_without_its_end_is_an_error() {
        assert!(mail(b"one\r\n", 100).await.is_err());
    }

    #[tokio::test]
    async fn a_command_that_is_too_long_is_skipped_whole() {
        let wire = [vec![b'x'; 20_000], b"\r\nNOOP\r\n".to_vec()].concat();
        let mut reader = &wire[..];
        assert_eq!(read_command(&mut reader).await.unwrap(), Command::TooLong);
        assert_eq!(
            read_command(&mut reader).await.unwrap(),
            Command::Line(b"NOOP".to_vec())
        );
        assert_eq!(read_command(&mut reader).await.unwrap(), Command::End);
    }
}
