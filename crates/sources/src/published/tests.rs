use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn found(text: &str, image: &str, file: &str) -> Result<String, String> {
    find(&lines(text), image, file).map(|checksum| checksum.text().to_owned())
}

#[test]
fn checksum_file_parses_in_every_form() {
    let long = B.repeat(2);
    for text in [
        format!("{B}  other.img\n{A}  disk.img\n"),
        format!("{B} *other.img\n{A} *disk.img\n"),
        format!("{A}  ./images/disk.img\n"),
        format!("SHA256 (other.img) = {B}\nSHA256 (disk.img) = {A}\n"),
        format!("# disk.img: 123 bytes\nSHA256 (disk.img) = {}\n", A.to_uppercase()),
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 (disk.img) = {A}\n\
             -----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n-----END PGP SIGNATURE-----\n"
        ),
        // Untrusted kinds of checksum are ignored.
        format!("MD5 (disk.img) = d41d8cd98f00b204e9800998ecf8427e\r\nSHA256 (disk.img) = {A}\r\n"),
        format!("{A}  disk.img\n{A}  disk-latest.img\n{A}  disk.img\n"),
    ] {
        assert_eq!(found(&text, "disk.img", "SHA256SUMS").as_deref(), Ok(A), "{text}");
    }
    let both = format!("{A}  disk.img\n{long}  disk.img\n");
    assert_eq!(found(&both, "disk.img", "SUMS").as_deref(), Ok(long.as_str()));
    let wrong_kind = format!("SHA512 (disk.img) = {A}\n");
    assert!(found(&wrong_kind, "disk.img", "SUMS").is_err());
}

#[test]
fn file_for_one_image_may_contain_another_name() {
    for text in [format!("{A}\n"), format!("{A}  disk-Snapshot20250810.img\n")] {
        assert_eq!(found(&text, "disk.img", "disk.img.sha256").as_deref(), Ok(A));
        let error = found(&text, "disk.img", "SHA256SUMS").unwrap_err();
        assert_eq!(error, "does not name disk.img");
    }
    let two = format!("{A}  one.img\n{B}  two.img\n");
    assert!(found(&two, "disk.img", "disk.img.sha256").is_err());
}

#[test]
fn contradictory_checksums_are_rejected() {
    let text = format!("{A}  disk.img\n{B}  disk.img\n");
    let error = found(&text, "disk.img", "SHA256SUMS").unwrap_err();
    assert!(error.contains("twice"), "{error}");
    assert!(found("<html>404</html>", "disk.img", "SHA256SUMS").is_err());
}

#[test]
fn version_comes_from_another_name_of_the_same_content() {
    let text = format!(
        "{A}  AlmaLinux-9-GenericCloud-latest.x86_64.qcow2\n\
         {A}  AlmaLinux-9-GenericCloud-9.6-20250522.x86_64.qcow2\n\
         {B}  AlmaLinux-9-GenericCloud-9.5-20241120.x86_64.qcow2\n"
    );
    let checksum = Checksum::of_hex(A).unwrap();
    let version =
        |after| version_in_name(&lines(&text), &checksum, "AlmaLinux-9-GenericCloud-", after);
    assert_eq!(version(".x86_64.qcow2").as_deref(), Some("9.6-20250522"));
    assert_eq!(version(".raw"), None);
}
