#include "base/core/options.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/core/status.h"

namespace quire {
namespace {

size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

// A variable of a script that is not set, most often: what it stood for is not to be guessed.
absl::Status CheckGiven(const std::string& name, const std::string& value) {
  if (!value.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", name, " is empty: give it a value, or leave it out"));
}

}  // namespace

Options::Options(std::string program, std::string summary)
    : program_(std::move(program)), summary_(std::move(summary)) {}

void Options::Add(const std::string& name, std::string* target, const std::string& unit,
                  const std::string& help) {
  auto set = [name, target, unit](const std::string& value) -> absl::Status {
    QUIRE_RETURN_IF_ERROR(CheckGiven(name, value));
    const std::vector<std::string> words = absl::StrSplit(unit, '|');
    if (words.size() > 1 && std::find(words.begin(), words.end(), value) == words.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, ": '", value, "' is none of ", absl::StrJoin(words, ", ")));
    }
    *target = value;
    return absl::OkStatus();
  };
  options_.push_back({name, unit, help, *target, false, false, false, set});
}

void Options::Add(const std::string& name, int64_t* target, const std::string& unit, const std::string& help,
                  IntLimits limits) {
  auto set = [name, target, limits](const std::string& value) -> absl::Status {
    int64_t number = 0;
    if (!absl::SimpleAtoi(value, &number)) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": '", value, "' is not a whole number"));
    }
    if (number < limits.min || number > limits.max) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, ": ", number, " is outside ", limits.min, "..", limits.max));
    }
    *target = number;
    return absl::OkStatus();
  };
  options_.push_back({name, unit, help, absl::StrCat(*target), false, false, false, set});
}

void Options::Add(const std::string& name, double* target, const std::string& unit, const std::string& help) {
  auto set = [name, target](const std::string& value) -> absl::Status {
    if (!absl::SimpleAtod(value, target)) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": '", value, "' is not a number"));
    }
    return absl::OkStatus();
  };
  options_.push_back({name, unit, help, absl::StrCat(*target), false, false, false, set});
}

void Options::Add(const std::string& name, bool* target, const std::string& help) {
  auto set = [target](const std::string& value) {
    *target = value == "true";
    return absl::OkStatus();
  };
  options_.push_back({name, "", help, *target ? "on" : "off", true, false, false, set});
}

void Options::AddList(const std::string& name, std::vector<std::string>* target, const std::string& unit,
                      const std::string& help) {
  options_.push_back({name, unit, help, absl::StrJoin(*target, ","), false, false, false,
                      [name, target](const std::string& value) {
                        QUIRE_RETURN_IF_ERROR(CheckGiven(name, value));
                        target->push_back(value);
                        return absl::OkStatus();
                      }});
}

void Options::Require(const std::string& name) {
  if (Option* option = Find(name)) option->required = true;
}

Options::Option* Options::Find(const std::string& name) {
  auto it = std::find_if(options_.begin(), options_.end(), [&](const Option& o) { return o.name == name; });
  return it == options_.end() ? nullptr : &*it;
}

absl::Status Options::Unknown(const std::string& name) const {
  const Option* nearest = nullptr;
  size_t best = 4;
  for (const Option& option : options_) {
    const size_t distance = EditDistance(name, option.name);
    if (distance < best) {
      best = distance;
      nearest = &option;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown flag --", name,
      nearest ? absl::StrCat("; did you mean --", nearest->name, "?") : std::string("; --help lists them")));
}

absl::Status Options::Parse(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--help" || arg == "-h") {
      help_requested_ = true;
      return absl::OkStatus();
    }
    if (arg == "--version") {
      version_requested_ = true;
      return absl::OkStatus();
    }
    QUIRE_ASSIGN_OR_RETURN(const bool took_next, Take(arg, i + 1 < argc ? argv[i + 1] : nullptr));
    if (took_next) ++i;
  }
  for (const Option& option : options_) {
    if (option.required && !option.given) {
      return absl::InvalidArgumentError(absl::StrCat("--", option.name, " is required: ", option.help));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Options::Take(const std::string& arg, const char* next) {
  if (arg.rfind("--", 0) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", arg, "' is not a flag; flags look like --name VALUE"));
  }
  const size_t equals = std::min(arg.find('='), arg.size());
  const std::string name = arg.substr(2, equals - 2);
  std::optional<std::string> value;
  if (equals < arg.size()) value = arg.substr(equals + 1);
  if (value && (name == "help" || name == "version")) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, " takes no value"));
  }
  Option* option = Find(name);
  if (option == nullptr && !value && name.rfind("no-", 0) == 0) {
    option = Find(name.substr(3));
    if (option != nullptr && !option->is_switch) option = nullptr;
    value = "false";
  }
  if (option == nullptr) return Unknown(name);
  if (!value && option->is_switch) value = "true";
  const bool takes_next = !value;
  if (takes_next && next == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
  }
  option->given = true;
  QUIRE_RETURN_IF_ERROR(option->set(takes_next ? next : *value));
  return takes_next;
}

std::string Options::Help() const {
  std::string text = absl::StrCat("usage: ", program_, " [--flag VALUE ...]\n", summary_, "\n\n");
  size_t width = 0;
  for (const Option& option : options_) width = std::max(width, option.name.size() + option.unit.size() + 3);
  for (const Option& option : options_) {
    const std::string left = absl::StrCat("--", option.name, option.unit.empty() ? "" : " ", option.unit);
    absl::StrAppend(&text, "  ", left, std::string(width - std::min(width, left.size()) + 2, ' '),
                    option.help);
    if (option.required) {
      absl::StrAppend(&text, " (required)");
    } else if (!option.default_text.empty()) {
      absl::StrAppend(&text, " (default ", option.default_text, ")");
    }
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(&text, "  --help, --version\n");
  return text;
}

}  // namespace quire
