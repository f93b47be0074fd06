#include "worker/parallel/tcp/beat.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire::worker {

std::string EncodeBeat(const Beat& beat) {
  std::string doing = beat.doing.substr(0, kMostBeatBytes / 4);
  for (char& c : doing) c = c == '\n' ? ' ' : c;
  return absl::StrCat(beat.beats, " ", beat.left ? 1 : 0, " ", beat.drain_asked ? 1 : 0, " ",
                      beat.lost ? 1 : 0, " ", beat.waiting ? 1 : 0, " ", beat.step, " ", beat.step_limit_us,
                      "\n", doing, "\n", beat.reason.substr(0, kMostBeatBytes / 2));
}

std::optional<Beat> DecodeBeat(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, absl::MaxSplits('\n', 2));
  if (lines.size() != 3) return std::nullopt;
  const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
  Beat beat;
  if (words.size() != 7 || !absl::SimpleAtoi(words[0], &beat.beats) ||
      !absl::SimpleAtoi(words[5], &beat.step) || !absl::SimpleAtoi(words[6], &beat.step_limit_us)) {
    return std::nullopt;
  }
  bool* const flags[] = {&beat.left, &beat.drain_asked, &beat.lost, &beat.waiting};
  for (size_t i = 0; i < 4; ++i) {
    if (!absl::SimpleAtob(words[i + 1], flags[i])) return std::nullopt;
  }
  beat.doing = lines[1];
  beat.reason = lines[2];
  return beat;
}

}  // namespace quire::worker
