//! What PowerShell 5.1 writes, whole and in pieces, and what it does not write.

use super::*;

fn decode(text: &str) -> String {
    let mut decoder = Decoder::new();
    let mut out = decoder.push(text.as_bytes());
    out.extend(decoder.finish());
    String::from_utf8(out).unwrap()
}

/// Decoded at once, and byte by byte with the same result.
fn check(text: &str, expected: &str) {
    assert_eq!(decode(text), expected, "{text}");
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    for byte in text.as_bytes() {
        out.extend(decoder.push(std::slice::from_ref(byte)));
    }
    out.extend(decoder.finish());
    assert_eq!(String::from_utf8_lossy(&out), expected, "byte by byte: {text}");
}

const BEGIN: &str = "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" \
                     xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">";
const PROGRESS: &str = "<Obj S=\"progress\" RefId=\"0\"><TN RefId=\"0\"><T>System.Object</T></TN>\
                        <MS><I64 N=\"SourceId\">1</I64><PR N=\"Record\"><AV>Preparing modules for \
                        first use.</AV><AI>0</AI><Nil /><PI>-1</PI></PR></MS></Obj>";

#[test]
fn errors_are_kept_with_their_line_ends_and_progress_is_dropped() {
    check(
        &format!(
            "{BEGIN}{PROGRESS}<S S=\"Error\">oops : &lt;none&gt;_x000D__x000A_</S>\
             <S S=\"Error\">    + CategoryInfo : x_x000D__x000A_</S></Objs>"
        ),
        "oops : <none>\r\n    + CategoryInfo : x\r\n",
    );
}

#[test]
fn other_streams_become_the_lines_of_a_console() {
    check(
        &format!("{BEGIN}<S S=\"warning\">old</S><S S=\"verbose\">v_x000A_</S><S>odd</S></Objs>"),
        "WARNING: old\r\nVERBOSE: v\nodd\r\n",
    );
}

#[test]
fn escapes_are_decoded_in_general() {
    check(
        &format!(
            "{BEGIN}<S S=\"Error\">_xD83D__xDE00_ _x005F_x000A_ _x00e4_ &#x41;&#66;&amp;</S></Objs>"
        ),
        "\u{1f600} _x000A_ \u{e4} AB&",
    );
}

#[test]
fn broken_escapes_are_text() {
    check(
        &format!(
            "{BEGIN}<S S=\"Error\">_xD83D_ _xD83D__x0041_ _xDE00_ _x12 _xZZZZ_ &no; & &#x; a_</S></Objs>"
        ),
        "\u{fffd} \u{fffd}A \u{fffd} _x12 _xZZZZ_ &no; & &#x; a_",
    );
}

#[test]
fn text_without_a_header_passes_unchanged() {
    for text in [
        "",
        "plain\r\n",
        "a #< CLIXML\n<Objs>",
        "#< CLIXML",
        "#< CLIX",
        "#< CLIXML!\n",
        "<S S=\"Error\">x</S>",
    ] {
        check(text, text);
    }
}

#[test]
fn header_without_a_document_is_text() {
    for text in
        ["#< CLIXML\r\n", "#< CLIXML\r\nno XML\r\n", "#< CLIXML\n\n<Obj>", "#< CLIXML\r\n<Objs"]
    {
        check(text, text);
    }
}

#[test]
fn texts_of_other_programs_stand_before_between_and_after() {
    check(
        &format!(
            "git: <hm>\n{BEGIN}native 1\r\n<S S=\"Error\">e</S>#2 < 3\n</Objs>after\n{BEGIN}</Objs>"
        ),
        "git: <hm>\nnative 1\r\ne#2 < 3\nafter\n",
    );
}

#[test]
fn second_document_follows_with_and_without_a_header() {
    check(
        &format!(
            "{BEGIN}<S S=\"Error\">a</S></Objs><Objs>{PROGRESS}</Objs>\r\n{BEGIN}<S S=\"Error\">b</S></Objs>"
        ),
        "a\r\nb",
    );
}

#[test]
fn document_that_was_cut_ends_with_the_next_header() {
    check(&format!("{BEGIN}<S S=\"Error\">a</S>{BEGIN}<S S=\"Error\">b</S></Objs>"), "ab");
    check(&format!("{BEGIN}<S S=\"Error\">half_x00"), "half_x00");
    check(&format!("{BEGIN}<Obj S=\"progress\"><T>never"), "<Obj S=\"progress\"><T>never");
}

#[test]
fn other_records_come_as_their_own_text_or_whole() {
    check(
        &format!(
            "{BEGIN}<Obj S=\"information\" RefId=\"0\"><ToString>note_x0021_</ToString></Obj></Objs>"
        ),
        "note!\r\n",
    );
    check(
        &format!("{BEGIN}<I32 S=\"Output\">5</I32><Nil/></Objs>"),
        "<I32 S=\"Output\">5</I32><Nil/>",
    );
}

#[test]
fn endless_records_and_tags_pass_as_text() {
    let endless = "x".repeat(200_000);
    assert!(decode(&format!("{BEGIN}<Obj S=\"progress\">{endless}")).len() > 200_000);
    let tag = format!("{BEGIN}<S {endless}");
    assert!(decode(&tag).len() > 200_000);
    let mut decoder = Decoder::new();
    let mut held = 0;
    for _ in 0..200 {
        let _ = decoder.push(&endless.as_bytes()[..1000]);
        held = held.max(decoder.held.len());
    }
    assert!(held < 5000, "{held} bytes held");
}

#[test]
fn endless_record_ends_at_the_same_byte_for_all_pieces() {
    let text = format!("{BEGIN}<Obj>{}{BEGIN}<S S=\"Error\">e</S>", "x".repeat(70_000));
    let whole = decode(&text);
    for size in [1000, 4096, 65_535, 65_536] {
        let mut decoder = Decoder::new();
        let mut out: Vec<u8> =
            text.as_bytes().chunks(size).flat_map(|piece| decoder.push(piece)).collect();
        out.extend(decoder.finish());
        assert!(out == whole.as_bytes(), "pieces of {size} bytes");
    }
}

#[test]
fn characters_of_several_bytes_may_be_split() {
    let text = format!("{BEGIN}<S S=\"Error\">\u{e4}\u{1f600}_x000D__x000A_</S></Objs>");
    check(&text, "\u{e4}\u{1f600}\r\n");
}
