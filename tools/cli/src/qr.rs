//! Links as QR codes on a terminal.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::CliError;

/// A QR code in half blocks, light on dark as terminals mostly are, with its quiet zone.
pub fn qr(text: &str) -> Result<String, CliError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).map_err(|error| {
        CliError::failed(
            "qr",
            format!("{} bytes do not fit into a QR code: {error}", text.len()),
            "copy the link instead",
        )
    })?;
    // The renderer's "dark" is the foreground, which on a dark terminal is the bright colour.
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_a_terminal_and_a_book_is_refused() {
        let code = qr("postroad:node#abcdefghijklmnopqrstuvwxyz").unwrap();
        assert!(code.lines().all(|line| line.chars().count() <= 80));
        assert!(code.lines().count() > 10);
        assert_eq!(qr(&"x".repeat(10_000)).unwrap_err().code, "qr");
    }
}
