#include "airlock/report/html.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/report/fake_ledger.h"
#include "tests/support/temp_dir.h"

namespace airlock::html_test {
namespace {
using ::testing::HasSubstr;
using ::testing::Not;

std::string page_of(const Ledger& ledger, const std::string& name = "a.jsonl") {
  const Report report = make_report(name, ledger);
  const NamedLedger named{&report, ledger.entries};
  return render_html({&named, 1});
}

/// The text after `mark` up to the next `end`.
std::string after(const std::string& page, const std::string& mark, char end) {
  const std::size_t at = page.find(mark);
  if (at == std::string::npos) return "missing " + mark;
  const std::size_t from = at + mark.size();
  return page.substr(from, page.find(end, from) - from);
}

void expect_totals(const std::string& page, int index, const Traffic& traffic) {
  const std::string run = "id=\"run-" + std::to_string(index);
  const std::string section = page.substr(std::min(page.find(run + "\""), page.size()));
  EXPECT_EQ(after(section, "data-calls=\"", '"'), std::to_string(traffic.calls()));
  EXPECT_EQ(after(section, "data-sent-bytes=\"", '"'), std::to_string(traffic.sent_bytes()));
  EXPECT_EQ(after(section, "data-received-bytes=\"", '"'),
            std::to_string(traffic.received_bytes()));
  EXPECT_EQ(after(section, "data-total-bytes=\"", '"'), std::to_string(traffic.total_bytes()));
  EXPECT_EQ(after(section, run + "-calls\">", '<'), std::to_string(traffic.calls()));
  EXPECT_EQ(after(section, run + "-sent\">", '<'), std::to_string(traffic.sent_bytes()));
  EXPECT_EQ(after(section, run + "-received\">", '<'), std::to_string(traffic.received_bytes()));
  EXPECT_EQ(after(section, run + "-total\">", '<'), std::to_string(traffic.total_bytes()));
}

TEST(RenderHtml, TheTotalsStandInTheMarkup) {
  for (const Plan& plan : preset_plans()) {
    expect_totals(page_of(headed(llama_1b(), plan, 1024)), 0,
                  predict_traffic(llama_1b(), plan, 1024, 0));
  }
}

TEST(RenderHtml, LoadsNothingFromAnywhere) {
  const std::string page = page_of(headed(odd_model(), find_plan("flash"), 33, 3));
  for (const char* word : {"http:", "https:", "src=", "@import", "url(", "<link"}) {
    EXPECT_THAT(page, Not(HasSubstr(word)));
  }
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(RenderHtml, WhatALedgerSaysCannotBecomeMarkup) {
  Ledger ledger = headed(odd_model(), find_plan("flash"), 3);
  const std::string text = "\"'><script>alert(1)</script>&";
  for (LedgerEntry& e : ledger.entries) e.link = text;
  ledger.header->model = ledger.header->plan.name = ledger.header->link = text;
  const std::string page = page_of(ledger, "</script><img onerror=x>\".jsonl");
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;&amp;"));
}

TEST(RenderHtml, ALedgerThatSaysItsPlanGetsItsVerdict) {
  Ledger ledger = headed(odd_model(), find_plan("fused"), 9, 2);
  EXPECT_THAT(page_of(ledger, "a"), HasSubstr("class=\"verdict equal\""));
  ledger.entries[2].sent_bytes += 1;
  EXPECT_THAT(page_of(ledger, "a"), HasSubstr("class=\"verdict differs\""));
  ledger.header.reset();
  EXPECT_THAT(page_of(ledger), Not(HasSubstr("class=\"verdict ")));
}

TEST(RenderHtml, AHundredThousandCallsAreSummedAndTheLargestAndSlowestListed) {
  std::vector<LedgerEntry> ledger;
  while (ledger.size() < 100000) append_run(ledger, odd_model(), find_plan("blocks"), 3, 1000);
  const std::string page = page_of({{}, ledger});
  EXPECT_LT(page.size(), 200U << 10);
  EXPECT_EQ(after(page, "data-calls=\"", '"'), std::to_string(ledger.size()));
  EXPECT_EQ(after(page, "data-total-bytes=\"", '"'), std::to_string(summarize(ledger).all.bytes()));
  EXPECT_THAT(page, HasSubstr("The 200 largest and slowest calls"));
}

TEST(RenderHtml, SeveralRunsStandSideBySideAndEachInFull) {
  const Ledger first = headed(llama_1b(), find_plan("baseline"), 1024);
  const Ledger second = headed(llama_1b(), find_plan("blocks"), 1024);
  const Report a = make_report("a.jsonl", first);
  const Report b = make_report("b.jsonl", second);
  const NamedLedger both[] = {{&a, first.entries}, {&b, second.entries}};
  const std::string page = render_html(both);
  EXPECT_THAT(page, HasSubstr("What crossed, by run"));
  expect_totals(page, 0, predict_traffic(llama_1b(), find_plan("baseline"), 1024, 0));
  expect_totals(page, 1, predict_traffic(llama_1b(), find_plan("blocks"), 1024, 0));
}

TEST(RenderHtml, AnEmptyRunIsAPageToo) {
  const std::string page = page_of({});
  EXPECT_THAT(page, HasSubstr("data-calls=\"0\""));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

std::string find_chromium() {
  std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    for (const char* name :
         {"chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"}) {
      const std::string candidate = path.substr(begin, end - begin) + "/" + name;
      if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    begin = end + 1;
  }
  return "";
}

/// The DOM of a page after its scripts ran, in a window of that width; "" if no browser runs here.
std::string dom_of(const std::string& page, int width) {
  const std::string browser = find_chromium();
  if (browser.empty()) return "";
  const testing::TempDir folder;
  testing::write_file(folder / "page.html", page);
  const std::string command =
      "timeout 120 " + browser + " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage" +
      " --user-data-dir=" + (folder / "profile").string() + " --virtual-time-budget=2000" +
      " --window-size=" + std::to_string(width) + ",900 --dump-dom file://" +
      (folder / "page.html").string() + " 2>/dev/null";
  std::string dom;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  if (pipe == nullptr) return "";
  char buffer[65536];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, pipe.get())) {
    dom.append(buffer, size);
  }
  return dom;
}

TEST(HtmlPage, InABrowserShowsTheTotalsItsScriptRunsAndNothingIsCutOff) {
  const Plan plan = find_plan("baseline");
  std::string page = page_of(headed(llama_1b(), plan, 1024));
  // Tells how far the page reaches to the right of a window of how many pixels.
  page.insert(page.find("</body>"),
              "<script>document.body.dataset.reach = document.documentElement.scrollWidth - "
              "document.documentElement.clientWidth;</script>");
  for (const int width : {1280, 390}) {
    const std::string dom = dom_of(page, width);
    if (dom.empty()) {
      ASSERT_EQ(std::getenv("AIRLOCK_REQUIRE_BROWSER"), nullptr) << "no chromium that runs here";
      GTEST_SKIP() << "no chromium that runs here: the page is not opened";
    }
    expect_totals(dom, 0, predict_traffic(llama_1b(), plan, 1024, 0));
    // The script turned headings into buttons.
    EXPECT_THAT(dom, HasSubstr("<button type=\"button\">sent</button>"));
    EXPECT_EQ(after(dom, "data-reach=\"", '"'), "0") << width;
  }
}

}  // namespace
}  // namespace airlock::html_test
