#include "base/core/strict_json.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// nlohmann's event interface: each method returns false to stop the parse.
class StrictBuilder {
 public:
  using number_integer_t = ordered_json::number_integer_t;
  using number_unsigned_t = ordered_json::number_unsigned_t;
  using number_float_t = ordered_json::number_float_t;
  using string_t = ordered_json::string_t;
  using binary_t = ordered_json::binary_t;

  explicit StrictBuilder(RepeatedKey repeated) : repeated_(repeated) {}

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(number_integer_t value) { return Add(value); }
  bool number_unsigned(number_unsigned_t value) { return Add(value); }
  bool number_float(number_float_t value, const string_t&) { return Add(value); }
  bool string(string_t& value) { return Add(std::move(value)); }
  bool binary(binary_t&) { return Refuse("binary values are not JSON"); }
  bool start_object(size_t) { return Open(ordered_json::object()); }
  bool start_array(size_t) { return Open(ordered_json::array()); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }

  bool key(string_t& name) {
    Container& open = open_.back();
    const auto [known, is_new] = open.keys.emplace(name, open.container->size());
    place_ = known->second;
    if (!is_new && repeated_ == RepeatedKey::kRefused) {
      return Refuse(name.size() <= 64 ? absl::StrCat("the key \"", name, "\" is given twice")
                                      : std::string("a key is given twice"));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    return Refuse(absl::StrCat("syntax error at byte ", position));
  }

  const std::string& error() const { return error_; }
  ordered_json TakeRoot() { return std::move(root_); }

 private:
  bool Refuse(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return false;
  }

  bool Add(ordered_json value) { return Place(std::move(value)) != nullptr; }

  bool Open(ordered_json value) {
    if (open_.size() >= kMaxJsonDepth) {
      return Refuse(absl::StrCat("it is nested deeper than ", kMaxJsonDepth, " levels"));
    }
    ordered_json* placed = Place(std::move(value));
    if (placed == nullptr) return false;
    open_.push_back({placed, {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  // A container's address stays valid while it is open: its parent gets no further member before it closes.
  ordered_json* Place(ordered_json value) {
    if (++values_ > kMaxJsonValues) {
      Refuse(absl::StrCat("it holds more than ", kMaxJsonValues, " values"));
      return nullptr;
    }
    if (open_.empty()) return &(root_ = std::move(value));
    ordered_json& parent = *open_.back().container;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    // Directly: by itself it would look through all keys for each.
    auto& members = parent.get_ref<ordered_json::object_t&>();
    if (place_ < members.size()) {
      return &((members.begin() + static_cast<ptrdiff_t>(place_))->second = std::move(value));
    }
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }

  struct Container {
    ordered_json* container;
    absl::flat_hash_map<std::string, size_t> keys;  // of an object: their places in it
  };

  ordered_json root_;
  std::vector<Container> open_;
  const RepeatedKey repeated_;
  std::string key_;
  size_t place_ = 0;  // of key_
  std::string error_;
  int values_ = 0;
};

}  // namespace

absl::StatusOr<nlohmann::ordered_json> ParseStrictJson(std::string_view text, RepeatedKey repeated) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    return absl::InvalidArgumentError("it starts with a byte-order mark");
  }
  // nlohmann's lexer takes one for the end.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("syntax error at byte ", nul + 1, ": a NUL"));
  }
  StrictBuilder builder(repeated);
  if (!ordered_json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(builder.error());
  }
  return builder.TakeRoot();
}

}  // namespace quire
