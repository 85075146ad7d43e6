//! Ten thousand recordings: listed at once, with the thumbnails of those in sight, and a
//! day of them as a line.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::{Bench, DESK, PHONE};
use crate::languages::{fits, is_accessible};
use crate::support::browser::{Browser, Person};

const ALL: usize = 10_000;
/// Of one day, five days ago, around noon.
const OF_A_DAY: usize = 250;
const WHYS: [&str; 4] = ["motion", "motion", "button", "always"];
/// docs/recording.md.
const THUMBNAIL: u128 = 0x5e0c_1f8b_3a77_4d52_9b64_d1a9_27e8_40c3;

fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut all = u32::try_from(8 + body.len())
        .expect("small")
        .to_be_bytes()
        .to_vec();
    all.extend(kind);
    all.extend(body);
    all
}

/// The beginning of a recording, with a thumbnail.
fn beginning(file: &Path) {
    let jpeg = file.with_extension("jpg");
    let location = format!("location={}", jpeg.display());
    let made = Command::new("gst-launch-1.0")
        .args(["--quiet", "videotestsrc", "num-buffers=1"])
        .args("! video/x-raw,width=192,height=108 ! jpegenc ! filesink".split(' '))
        .arg(location)
        .status();
    assert!(made.expect("gst-launch-1.0").success());
    let mut body = THUMBNAIL.to_be_bytes().to_vec();
    body.extend(fs::read(&jpeg).expect("it was made"));
    let all = [mp4_box(b"ftyp", b"isom"), mp4_box(b"uuid", &body)].concat();
    fs::write(file, all).expect("written");
    fs::remove_file(jpeg).expect("it was there");
}

/// Fills the folder; gives the day with [`OF_A_DAY`] of them.
fn filled(folder: &Path) -> String {
    let folder = folder.join("recordings");
    fs::create_dir(&folder).expect("a new folder");
    let one = folder.with_extension("one");
    beginning(&one);
    let noon = OffsetDateTime::now_utc().replace_time(time::macros::time!(10:00));
    let day = noon - Duration::days(5);
    for i in 0..ALL {
        let began = match i64::try_from(i).expect("few") {
            i if i < OF_A_DAY as i64 => day + Duration::seconds(50 * i),
            i => day - Duration::days(2) - Duration::seconds(300 * i),
        };
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let began = began.format(format).expect("a time");
        let name = format!(
            "{began}_{}_{}s.mp4",
            WHYS[i % WHYS.len()],
            10 + 37 * (i % 5)
        );
        fs::hard_link(&one, folder.join(name)).expect("linked");
    }
    fs::remove_file(one).expect("it was there");
    day.format(format_description!("[year]-[month]-[day]"))
        .expect("a day")
}

/// How often the page has asked for a thumbnail.
const ASKED: &str = "window.asked.length";
const COUNT: &str =
    "(window.asked = [], window.RTCDataChannel.prototype.send = ((send) => function (text) {
    if (String(text).includes('\"thumbnail\"')) window.asked.push(text);
    return send.call(this, text);
})(window.RTCDataChannel.prototype.send), null)";

/// From the click to a hundred rows, in ms.
const OPENS: &str = "(async () => {
    const began = performance.now();
    document.querySelector('#recordings summary').click();
    while (document.querySelectorAll('#recordings li').length < 100) {
        await new Promise((done) => setTimeout(done, 5));
    }
    return performance.now() - began;
})()";

async fn says(alice: &Browser, words: &str) {
    let text = "document.querySelector('#recordings .line').getAttribute('aria-valuetext')";
    let is = format!("{text}.includes({})", json!(words));
    alice.until_js(words, &is).await;
}

/// By the keyboard alone, to a recording of that day and into the player.
async fn goes_along_the_day(alice: &Browser, day: &str) {
    let pick = format!(
        "(((day) => {{ day.value = '{day}'; day.dispatchEvent(new Event('change')); }})(
            document.querySelector('#recordings .day input')), null)"
    );
    alice.js(&pick).await;
    says(alice, &format!("Recordings: {OF_A_DAY}")).await;
    alice
        .js("(document.querySelector('#recordings .line').focus(), null)")
        .await;
    let now = "document.querySelector('#recordings .line').getAttribute('aria-valuenow')";
    for (key, at) in [
        ('\u{e010}', OF_A_DAY),
        ('\u{e012}', OF_A_DAY - 1),
        ('\u{e011}', 1),
        ('\u{e014}', 2),
    ] {
        alice.keys(&key.to_string()).await;
        assert_eq!(alice.js(now).await, json!(at.to_string()), "{key:?}");
    }
    says(alice, ", 47 s, something moved").await;
    let image = "document.querySelector('#recordings .chosen img').naturalWidth === 192";
    alice.until_js("its thumbnail", image).await;
    let drawn = "['motion', 'button', 'always', 'at'].every((why) =>
        document.querySelector(`#recordings .line .${why}`).getAttribute('d').startsWith('M'))";
    assert_eq!(alice.js(drawn).await, true);
}

/// And nothing else is lost.
async fn a_new_one_is_on_top(alice: &Browser) {
    let rows = "document.querySelectorAll('#recordings li').length";
    alice.click("#recordings .record").await;
    alice.until_js("one more", &format!("{rows} === 201")).await;
    alice.click("#recordings .record").await;
    let ended = "document.querySelector('#recordings li').dataset.seconds !== 'null'";
    alice
        .until_js("it has ended", &format!("{ended} && {rows} === 201"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_are_listed_at_once_with_thumbnails_of_what_is_in_sight() {
    let folder = tempfile::tempdir().expect("a folder");
    let day = filled(folder.path());
    let bench = Bench::in_folder(folder, "watch,recordings", "button = true\nage_days = 0").await;
    for (size, dark) in [(DESK, false), (PHONE, false), (DESK, true), (PHONE, true)] {
        let person = Person {
            size,
            dark,
            ..Person::default()
        };
        let alice = bench.watching(person).await;
        alice.js(COUNT).await;
        let opened = alice.promise(OPENS).await.as_f64().expect("it opens");
        println!("{ALL} recordings: the list opens in {opened:.0} ms");
        assert!(opened < 1_000.0, "{opened} ms");
        let shown = "[...document.querySelectorAll('#recordings li img')]
            .filter(({ naturalWidth }) => naturalWidth === 192).length";
        let show = "(document.querySelector('#recordings ol').scrollIntoView(), null)";
        alice.js(show).await;
        alice.until_js("thumbnails", &format!("{shown} >= 3")).await;
        let asked = alice.js(ASKED).await.as_u64().expect("a number");
        assert!(asked < 40, "{asked} of what is not in sight");
        goes_along_the_day(&alice, &day).await;
        let what = format!("recordings-{}{}", size.0, if dark { "-dark" } else { "" });
        if let Ok(pictures) = std::env::var("PICTURES") {
            alice
                .js("(document.getElementById('recordings').scrollIntoView(), null)")
                .await;
            alice.screenshot(format!("{pictures}/{what}.png")).await;
        }
        fits(&alice, &what).await;
        is_accessible(&alice, &what).await;
        // A day with nothing, and older ones of the list.
        alice.click("#recordings .day .row button").await;
        says(&alice, "Nothing was recorded on this day.").await;
        alice.click("#recordings .more").await;
        alice
            .until_js(
                "older ones",
                "document.querySelectorAll('#recordings li').length === 200",
            )
            .await;
        if (size, dark) == (DESK, false) {
            a_new_one_is_on_top(&alice).await;
        }
        alice.clean_console().await;
        alice.click("#hangup").await;
        alice.state("idle").await;
    }
    bench.chat.stop().await;
}
