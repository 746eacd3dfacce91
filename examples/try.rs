use circuitcheck::*;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let folder = model::ModelFolder::open(dir.as_ref()).unwrap();
    let t = std::time::Instant::now();
    let mut last = "";
    let ev = verify::verify(&folder, None, &Default::default(), &mut |p| { if p.phase != last { eprintln!("{} {:?}", p.phase, t.elapsed()); last = p.phase; } }).unwrap();
    eprintln!("{:?}", t.elapsed());
    println!("{:?} {:?}", ev.baseline.classes.iter().map(|c| (c.class, c.accuracy)).collect::<Vec<_>>(), ev.summary);
    for c in &ev.claims {
        let a = c.trials.as_ref().map(|t| t.alone.agreement.iter().map(|(a, r)| format!("{a:?} {}/{} [{:.3},{:.3}]", r.hits, r.trials, r.lower, r.upper)).collect::<Vec<_>>().join(" ")).unwrap_or_default();
        let pl = c.trials.as_ref().map(|t| format!("pl {:.2} reach {} ndl {:.2} decoy {:.2} dig {:?} un {}/{} nec {}/{} {}/{}", t.alone.placebo.share(), t.reach, 0.0, t.controls.beats_decoys_by, t.controls.beats_wrong_digits_by.map(|x| (x*100.0).round()/100.0), t.controls.untrained.hits, t.controls.untrained.trials, t.necessity.needing.hits, t.necessity.needing.trials, t.necessity.not_needing.hits, t.necessity.not_needing.trials)).unwrap_or_default();
        println!("{:20} {:14} {:12} {a} {pl} | {}", c.claim, c.published.name(), c.verdict.name(), c.verdict.note());
    }
    std::fs::write("/tmp/ev.json", serde_json::to_string_pretty(&ev).unwrap()).unwrap();
}
