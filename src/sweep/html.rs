//! The summary of a sweep as a page that needs nothing else.

use std::fmt::Write;

use super::Summary;

const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8886; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
.good { color: var(--good); } .bad { color: var(--bad); }
small { opacity: .75; display: block; }";

/// Text within a page.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c => safe.push(c),
        }
    }
    safe
}

impl Summary {
    /// The content of `summary.html`.
    pub fn to_html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>circuitcheck: {} models</title>\n<style>\n{STYLE}\n</style>\n<h1>{0} models</h1>\n",
            self.models.len()
        );
        page += "<div class=\"wide\"><table><thead><tr><th>model<th>right answers<th>claims that hold<th>verdicts<th>claimed nodes alone<th>hypotheses</thead>\n";
        for model in &self.models {
            if let Some(error) = &model.error {
                let _ = writeln!(
                    page,
                    "<tr><td>{}<td colspan=\"5\" class=\"bad\">not opened: {}",
                    escaped(&model.location),
                    escaped(error)
                );
                continue;
            }
            let (hold, claims) = model.held();
            let verdicts: Vec<String> = (model.verdicts.iter())
                .map(|(verdict, count)| format!("{count} {verdict}"))
                .collect();
            let hypotheses: Vec<String> = (model.hypotheses.iter())
                .map(|found| {
                    let (class, holds) = if found.holds {
                        ("good", "holds")
                    } else {
                        ("bad", "does not hold")
                    };
                    let name = escaped(&found.name);
                    format!(
                        "<span class=\"{class}\">{name} {holds}</span>, {} of {}",
                        found.met, found.of
                    )
                })
                .collect();
            let _ = writeln!(
                page,
                "<tr><td>{}<small>{}, {}</small><td>{}<td>{hold} of {claims}<td>{}<td>{}<td>{}",
                escaped(&model.model),
                model.operations,
                model.shape,
                model.accuracy_text(),
                verdicts.join("<br>"),
                escaped(&model.sufficiency_text()).replace(", ", "<br>"),
                hypotheses.join("<br>"),
            );
        }
        page += "</table></div>\n";
        page += &self.tasks_table();
        page += &self.failures();
        page
    }

    fn tasks_table(&self) -> String {
        let tasks = self.tasks();
        if tasks.is_empty() {
            return String::new();
        }
        let heads: Vec<String> = tasks
            .iter()
            .map(|task| format!("<th>{}", escaped(task)))
            .collect();
        let mut table = format!(
            "<h2>Tasks</h2>\n<p>Claims that hold, of all claims of the task; the claims stand in the cell's title.\n<div class=\"wide\"><table><thead><tr><th>model{}</thead>\n",
            heads.concat()
        );
        for model in self.models.iter().filter(|model| model.error.is_none()) {
            let _ = write!(table, "<tr><td>{}", escaped(&model.model));
            for task in &tasks {
                let class = match model.tasks.get(*task) {
                    Some(found) if found.hold.len() == found.claims => "good",
                    Some(found) if found.hold.is_empty() => "bad",
                    _ => "",
                };
                let hold = model.tasks.get(*task).map(|found| found.hold.join(", "));
                let _ = write!(
                    table,
                    "<td class=\"{class}\" title=\"{}\">{}",
                    escaped(&hold.unwrap_or_default()),
                    model.task_text(task)
                );
            }
            table.push('\n');
        }
        table + "</table></div>\n"
    }

    fn failures(&self) -> String {
        let mut list = String::new();
        for model in &self.models {
            for step in model.without_result() {
                let _ = writeln!(
                    list,
                    "<li>{}, {}<small>{}</small>",
                    escaped(&model.model),
                    escaped(&step.step),
                    escaped(&step.messages.join(" / "))
                );
            }
        }
        if list.is_empty() {
            return list;
        }
        format!("<h2>Without a result</h2>\n<ul>\n{list}</ul>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelSummary;
    use super::*;

    #[test]
    fn what_a_model_is_called_is_text_and_no_part_of_the_page() {
        let summary = Summary {
            models: vec![ModelSummary::unopened("<script>", "\"no' & no")],
        };
        let page = summary.to_html();
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;no&#39; &amp; no"));
    }
}
