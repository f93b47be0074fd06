#include "gateway/text/stop_matcher.h"

#include <gmock/gmock.h>

#include <random>

namespace quire::gateway {
namespace {

// What any chunking must come to: the text before the stop that ends first (of those, the longest), and which
// it is.
struct Expected {
  std::string text;
  std::optional<size_t> stop;
};

Expected Search(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      const bool ends_here =
          end >= stops[i].size() && text.compare(end - stops[i].size(), stops[i].size(), stops[i]) == 0;
      if (ends_here && (!best || stops[i].size() > stops[*best].size())) best = i;
    }
    if (best) return {text.substr(0, end - stops[*best].size()), best};
  }
  return {text, std::nullopt};
}

size_t LongestBeginning(const std::string& text, const std::vector<std::string>& stops) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t length = 1; length < stop.size() && length <= text.size(); ++length) {
      if (text.ends_with(stop.substr(0, length))) longest = std::max(longest, length);
    }
  }
  return longest;
}

// `text` and up to `most` letters more.
std::string RandomText(std::mt19937& random, size_t most, std::string text = "") {
  for (size_t i = random() % (most + 1); i > 0; --i) text += "ab"[random() % 2];
  return text;
}

TEST(StopMatcher, AnyChunkingFindsTheFirstStopAndHoldsNoMoreThanItMust) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = random() % 4 + 1; i > 0; --i) stops.push_back(RandomText(random, 5, "a"));
    if (random() % 4 == 0) stops.push_back(RandomText(random, 2, "b"));
    const std::string text = RandomText(random, 40);
    const Expected expected = Search(text, stops);
    StopMatcher matcher(stops);
    std::string emitted;
    size_t pushed = 0;
    while (pushed < text.size() && !matcher.matched()) {
      const size_t chunk = random() % 5;
      emitted += matcher.Push(text.substr(pushed, chunk));
      pushed = std::min(pushed + chunk, text.size());
      ASSERT_TRUE(expected.text.starts_with(emitted)) << text;
      if (matcher.matched()) break;
      ASSERT_EQ(matcher.held_bytes(), LongestBeginning(text.substr(0, pushed), stops)) << text;
      ASSERT_EQ(emitted.size() + matcher.held_bytes(), pushed);
    }
    ASSERT_EQ(matcher.matched_stop().has_value(), expected.stop.has_value()) << text;
    if (matcher.matched()) {
      EXPECT_EQ(stops[*matcher.matched_stop()], stops[*expected.stop]);
      EXPECT_EQ(matcher.Push("more"), "");
    }
    emitted += matcher.Flush();
    ASSERT_EQ(emitted, expected.text) << text;
  }
}

TEST(StopMatcher, ThePushThatMatchesIsTheCompletingTokens) {
  StopMatcher matcher({"\n\nUser:", "END"});
  EXPECT_EQ(matcher.Push("Hi\n"), "Hi");
  EXPECT_EQ(matcher.Push("\nUs"), "");
  EXPECT_FALSE(matcher.matched());
  EXPECT_EQ(matcher.Push("er: x"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.matched_stop(), 0u);
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcher, AFalseAlarmComesOutWhole) {
  StopMatcher matcher({"</s>", "日本語"});
  EXPECT_EQ(matcher.Push("a</"), "a");
  EXPECT_EQ(matcher.Push("p>日本"), "</p>");
  EXPECT_EQ(matcher.held_bytes(), 6u);
  EXPECT_EQ(matcher.Push("人"), "日本人");
  EXPECT_EQ(matcher.Push("<"), "");
  EXPECT_EQ(matcher.Flush(), "<");
}

TEST(StopMatcher, WithoutStopsNothingIsHeld) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.Push("abc"), "abc");
  EXPECT_EQ(matcher.Flush(), "");
}

}  // namespace
}  // namespace quire::gateway
