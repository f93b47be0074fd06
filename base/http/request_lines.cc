#include "base/http/request_lines.h"

#include "base/core/log.h"

namespace quire::http {

void RequestLines::Write(const RequestRecord& record) {
  if (IsFruitless(record)) {
    const auto left_out = fruitless_.Take(record.key_id, clock_.NowUs());
    if (!left_out) return;
    if (*left_out > 0) {
      Log(LogLevel::kWarn, "request_lines_left_out", "key_id", record.key_id, "lines", *left_out);
    }
  }
  write_(record);
}

bool RequestLines::IsFruitless(const RequestRecord& record) const {
  if (record.key_id.empty()) return true;  // also a preflight, which no status tells from an answer
  return fruit_ == Fruit::kTokens ? record.completion_tokens == 0 : record.status >= 400;
}

}  // namespace quire::http
