//! What a browser shows and plays, in numbers.

use serde_json::Value;

use super::browser::Browser;

/// The picture as it is now, as 64 × 36 red, green and blue values.
pub async fn picture(viewer: &Browser) -> Vec<[f64; 3]> {
    pixels(viewer, "0, 0, 64, 36").await
}

/// The row in the middle of it.
pub async fn row(viewer: &Browser) -> Vec<[f64; 3]> {
    pixels(viewer, "0, 18, 64, 1").await
}

async fn pixels(viewer: &Browser, rectangle: &str) -> Vec<[f64; 3]> {
    let bytes = viewer
        .js(&format!(
            "(() => {{
            const canvas = new OffscreenCanvas(64, 36);
            const context = canvas.getContext('2d');
            context.drawImage(document.getElementById('remote'), 0, 0, 64, 36);
            return [...context.getImageData({rectangle}).data];
        }})()"
        ))
        .await;
    let bytes = bytes.as_array().expect("pixels");
    let value = |v: &Value| v.as_f64().expect("a number");
    bytes
        .chunks(4)
        .map(|p| [value(&p[0]), value(&p[1]), value(&p[2])])
        .collect()
}

/// These points of the picture, from 0 to 1 of its width and height: the mean
/// red, green and blue of 3 × 3 pixels in the middle of each.
pub async fn points(viewer: &Browser, points: &[(f64, f64)]) -> Vec<[f64; 3]> {
    let points = serde_json::to_string(points).expect("JSON");
    let bytes = viewer
        .js(&format!(
            "(() => {{
            const video = document.getElementById('remote');
            const [width, height] = [video.videoWidth, video.videoHeight];
            const canvas = new OffscreenCanvas(width, height);
            const context = canvas.getContext('2d');
            context.drawImage(video, 0, 0);
            return {points}.map(([x, y]) => {{
                const left = Math.floor(x * width) - 1, top = Math.floor(y * height) - 1;
                const {{ data }} = context.getImageData(left, top, 3, 3);
                const mean = (c) => data.reduce((sum, v, i) => sum + (i % 4 === c ? v : 0), 0) / 9;
                return [mean(0), mean(1), mean(2)];
            }});
        }})()"
        ))
        .await;
    serde_json::from_value(bytes).expect("colours")
}

/// The slate is words on black; bars have no black.
pub fn is_slate(picture: &[[f64; 3]]) -> bool {
    let dark = |pixel: &&[f64; 3]| pixel.iter().all(|value| *value < 60.0);
    let share = picture.iter().filter(dark).count() as f64 / picture.len() as f64;
    // All of it is dark before the first frame.
    share > 0.6 && share < 1.0
}

/// Bars are most of the picture; one of vivid's is black, and it writes words
/// on black into a corner.
pub fn is_bars(picture: &[[f64; 3]]) -> bool {
    let bright = |pixel: &&[f64; 3]| pixel.iter().any(|value| *value > 120.0);
    picture.iter().filter(bright).count() as f64 > 0.6 * picture.len() as f64
}

/// The bars of a test card, all of their colours, as vivid and the test cameras
/// show them.
pub fn assert_bars(row: &[[f64; 3]]) {
    let missing = missing_bar(row);
    assert_eq!(missing, None, "no such bar in {row:?}");
}

/// A colour of those bars that is not there.
pub fn missing_bar(row: &[[f64; 3]]) -> Option<&'static str> {
    let bars = [
        ("yellow", [1, 1, 0]),
        ("cyan", [0, 1, 1]),
        ("green", [0, 1, 0]),
        ("magenta", [1, 0, 1]),
        ("red", [1, 0, 0]),
        ("blue", [0, 0, 1]),
    ];
    let seen = |[r, g, b]: [u8; 3]| {
        row.iter().any(|pixel| {
            pixel.iter().zip([r, g, b]).all(|(value, on)| match on {
                1 => *value > 130.0,
                _ => *value < 70.0,
            })
        })
    };
    let mut missing = bars.into_iter().filter(|(_, colour)| !seen(*colour));
    missing.next().map(|(name, _)| name)
}

/// The mean difference of two rows' values.
pub fn difference(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let values = a.iter().flatten().zip(b.iter().flatten());
    let count = a.len() * 3;
    values.map(|(a, b)| (a - b).abs()).sum::<f64>() / count as f64
}

/// The loudest frequency that arrives, in Hz.
pub async fn pitch(viewer: &Browser) -> f64 {
    let pitch = viewer
        .promise(
            "(async () => {
            const context = new AudioContext();
            await context.resume();
            const analyser = new AnalyserNode(context, { fftSize: 8192 });
            const stream = document.getElementById('remote').srcObject;
            context.createMediaStreamSource(stream).connect(analyser);
            await new Promise((done) => setTimeout(done, 1500));
            const levels = new Float32Array(analyser.frequencyBinCount);
            analyser.getFloatFrequencyData(levels);
            const loudest = levels.indexOf(Math.max(...levels));
            await context.close();
            return loudest * context.sampleRate / analyser.fftSize;
        })()",
        )
        .await;
    pitch.as_f64().expect("the page can analyse its sound")
}

/// The frequency of a pure tone that arrives, in Hz, and its level (RMS, 1 is
/// full scale), from a recording of a second. Needs no loudspeaker: without one
/// a Firefox starts no [`pitch`].
pub async fn recorded(viewer: &Browser) -> (f64, f64) {
    let measured = viewer
        .promise(
            "(async () => {
            const tracks = document.getElementById('remote').srcObject.getAudioTracks();
            const recorder = new MediaRecorder(new MediaStream(tracks));
            const recording = new Promise((done) => { recorder.ondataavailable = ({ data }) => done(data); });
            recorder.start();
            setTimeout(() => recorder.stop(), 1500);
            const bytes = await (await recording).arrayBuffer();
            const context = new OfflineAudioContext(1, 1, 48000);
            const sound = (await context.decodeAudioData(bytes)).getChannelData(0);
            // Its beginning is the recorder's own.
            const samples = sound.subarray(sound.length - 48000);
            let rises = 0, energy = 0;
            for (let i = 1; i < samples.length; i++) {
                if (samples[i - 1] < 0 && samples[i] >= 0) rises++;
                energy += samples[i] ** 2;
            }
            return [rises * 48000 / samples.length, Math.sqrt(energy / samples.length)];
        })().catch(String)",
        )
        .await;
    let number = |i: usize| measured[i].as_f64();
    match (number(0), number(1)) {
        (Some(pitch), Some(level)) => (pitch, level),
        _ => panic!("the page cannot record its sound: {measured}"),
    }
}
