// The filters of sequences that look at whole items: order, ends, sums, groups.
#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr int64_t kMaxParts = 100'000;

// What an item is compared by: itself or an attribute ("a.b"), without its case where that is ignored.
absl::StatusOr<Value> KeyOf(const Value& item, const Value* attribute, const Value* otherwise,
                            bool ignore_case, Meter& meter) {
  Value key = item;
  if (attribute != nullptr) {
    QUIRE_ASSIGN_OR_RETURN(key, GetPath(item, *attribute, otherwise, meter));
  }
  if (ignore_case && key.AsText() != nullptr) return Value(ChangeCase(*key.AsText(), Case::kLower));
  return key;
}

// The same for sort's "a,b": a list of keys.
absl::StatusOr<Value> KeysOf(const Value& item, const Value* attribute, bool ignore_case, Meter& meter) {
  if (attribute == nullptr || attribute->AsText() == nullptr)
    return KeyOf(item, attribute, nullptr, ignore_case, meter);
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(attribute->weight()));
  std::vector<Value> keys;
  for (OriginText& part : SplitText(*attribute->AsText(), ",", -1)) {
    const Value path(std::move(part));
    QUIRE_ASSIGN_OR_RETURN(Value key, KeyOf(item, &path, nullptr, ignore_case, meter));
    keys.push_back(std::move(key));
  }
  return Value::MakeList(std::move(keys));
}

struct Keyed {
  Value key;
  Value item;
};

// Stable, `reverse` too. INVALID_ARGUMENT for keys that have no order.
absl::Status SortByKey(std::vector<Keyed>& items, bool reverse, Meter& meter) {
  absl::Status status;
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    if (!status.ok()) return false;
    const absl::StatusOr<int> order = Order(a.key, b.key);
    status = order.ok() ? meter.SpendBytes(a.key.weight() + b.key.weight()) : order.status();
    return order.value_or(0) * (reverse ? -1 : 1) < 0;
  });
  return status;
}

std::vector<Value> ItemsOf(std::vector<Keyed> items) {
  std::vector<Value> out;
  for (Keyed& keyed : items) out.push_back(std::move(keyed.item));
  return out;
}

Result SortFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(3, {"reverse", "case_sensitive", "attribute"}));
  const bool ignore_case = !arguments.Flag(1, "case_sensitive", false);
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value key,
                           KeysOf(item, arguments.GetUnlessNone(2, "attribute"), ignore_case, meter));
    keyed.push_back({std::move(key), item});
  }
  QUIRE_RETURN_IF_ERROR(SortByKey(keyed, arguments.Flag(0, "reverse", false), meter));
  return Value::MakeList(ItemsOf(std::move(keyed)));
}

Result DictSortFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(3, {"case_sensitive", "by", "reverse"}));
  const Value* given = arguments.Get(1, "by");
  const std::string by = given == nullptr ? "key" : Print(*given).text();
  if (by != "key" && by != "value") return Wrong("by must be key or value");
  if (input.AsMap() == nullptr) return Wrong("needs a mapping");
  const bool ignore_case = !arguments.Flag(0, "case_sensitive", false);
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.AsMap()->entries) {
    QUIRE_ASSIGN_OR_RETURN(Value pair, Value::MakeList({key, value}, ListKind::kTuple));
    QUIRE_ASSIGN_OR_RETURN(Value sort_key,
                           KeyOf(by == "key" ? key : value, nullptr, nullptr, ignore_case, meter));
    keyed.push_back({std::move(sort_key), std::move(pair)});
  }
  QUIRE_RETURN_IF_ERROR(SortByKey(keyed, arguments.Flag(2, "reverse", false), meter));
  return Value::MakeList(ItemsOf(std::move(keyed)));
}

Result GroupByFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(3, {"attribute", "default", "case_sensitive"}));
  const Value* attribute = arguments.Get(0, "attribute");
  const Value* otherwise = arguments.GetUnlessNone(1, "default");
  if (attribute == nullptr) return Wrong("needs an attribute");
  const bool ignore_case = !arguments.Flag(2, "case_sensitive", false);
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value key, KeyOf(item, attribute, otherwise, ignore_case, meter));
    keyed.push_back({std::move(key), item});
  }
  QUIRE_RETURN_IF_ERROR(SortByKey(keyed, false, meter));
  std::vector<Value> groups;
  for (size_t start = 0, end = 0; start < keyed.size(); start = end) {
    std::vector<Value> members;
    for (; end < keyed.size() && keyed[end].key.Equals(keyed[start].key); ++end)
      members.push_back(keyed[end].item);
    if (end == start) return Wrong("a key is not equal to itself");  // NaN
    QUIRE_ASSIGN_OR_RETURN(Value grouper, KeyOf(keyed[start].item, attribute, otherwise, false, meter));
    QUIRE_ASSIGN_OR_RETURN(Value list, Value::MakeList(std::move(members)));
    QUIRE_ASSIGN_OR_RETURN(Value group,
                           Value::MakeList({std::move(grouper), std::move(list)}, ListKind::kGroup));
    groups.push_back(std::move(group));
  }
  return Value::MakeList(std::move(groups));
}

Result UniqueFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"case_sensitive", "attribute"}));
  const bool ignore_case = !arguments.Flag(0, "case_sensitive", false);
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  absl::flat_hash_set<std::string> seen;
  std::vector<Value> out;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(const Value key,
                           KeyOf(item, arguments.GetUnlessNone(1, "attribute"), nullptr, ignore_case, meter));
    std::optional<std::string> hash = key.HashKey();
    if (!hash) return Wrong(absl::StrCat(key.KindName(), " can't be hashed"));
    if (seen.insert(*std::move(hash)).second) out.push_back(item);
  }
  return Value::MakeIterator(std::move(out));
}

template <bool kMost>
Result ExtremeFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"case_sensitive", "attribute"}));
  const bool ignore_case = !arguments.Flag(0, "case_sensitive", false);
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  std::optional<Keyed> best;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value key,
                           KeyOf(item, arguments.GetUnlessNone(1, "attribute"), nullptr, ignore_case, meter));
    if (best) {
      QUIRE_ASSIGN_OR_RETURN(const int order, Order(key, best->key));
      if (kMost ? order <= 0 : order >= 0) continue;
    }
    best = Keyed{std::move(key), item};
  }
  return best ? best->item : Value::UndefinedNamed("an item of an empty sequence");
}

Result SumFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"attribute", "start"}));
  const Value* start = arguments.Get(1, "start");
  Value sum = start == nullptr ? Value(int64_t{0}) : *start;
  if (sum.AsText() != nullptr) return Wrong("can't sum strings");
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(const Value key,
                           KeyOf(item, arguments.GetUnlessNone(0, "attribute"), nullptr, false, meter));
    QUIRE_ASSIGN_OR_RETURN(sum, Arithmetic(BinaryOperator::kAdd, sum, key, meter));
    QUIRE_RETURN_IF_ERROR(meter.SpendBytes(sum.weight()));
  }
  return sum;
}

Result JoinFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"d", "attribute"}));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  const Value* given = arguments.Get(0, "d");
  const OriginText separator = given == nullptr ? OriginText() : Print(*given);
  if (items.size() * (separator.size() + 1) > kMaxValueBytes) return Wrong("a text becomes too long");
  OriginText out;
  for (size_t i = 0; i < items.size(); ++i) {
    QUIRE_ASSIGN_OR_RETURN(const Value part,
                           KeyOf(items[i], arguments.GetUnlessNone(1, "attribute"), nullptr, false, meter));
    if (i > 0) out.Append(separator);
    out.Append(Print(part));
    if (out.size() > 2 * kMaxValueBytes) return Wrong("a text becomes too long");
  }
  return Value(std::move(out));
}

Result ListFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, meter));
  return Value::MakeList(std::move(items));
}

// The first item, or the last.
Value End(const Value& input, bool last) {
  const auto of = [last](const auto& items) { return last ? items.back() : items.front(); };
  if (const List* list = input.AsList(); list != nullptr && !list->items.empty()) return of(list->items);
  if (const Map* map = input.AsMap(); map != nullptr && !map->entries.empty()) return of(map->entries).first;
  const OriginText* text = input.AsText();
  if (text != nullptr && !text->empty()) {
    const size_t at = last ? text->size() - CharacterBefore(text->text(), text->size()).bytes : 0;
    return Value(text->Substr(at, CharacterAt(text->text(), at).bytes));
  }
  return Value::UndefinedNamed(last ? "last item" : "first item");
}

Result FirstFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  QUIRE_RETURN_IF_ERROR(CheckIterable(input));
  const auto* iterator = input.As<IteratorRef>();
  if (iterator == nullptr || (*iterator)->items.empty()) return End(input, false);
  std::vector<Value>& items = (*iterator)->items;
  Value first = std::move(items.front());
  items.erase(items.begin());
  return first;
}

Result LastFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  QUIRE_RETURN_IF_ERROR(CheckIterable(input));
  if (input.Is<IteratorRef>()) return Wrong("an iterator has no last item; make it a list");
  return End(input, true);
}

Result ReverseFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  if (const OriginText* text = input.AsText()) {
    OriginText reversed = SliceText(*text, std::nullopt, std::nullopt, -1);
    return input.Is<Markup>() ? Value::MarkupText(std::move(reversed)) : Value(std::move(reversed));
  }
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, meter));
  std::reverse(items.begin(), items.end());
  return input.Is<IteratorRef>() ? Value::MakeList(std::move(items)) : Value::MakeIterator(std::move(items));
}

Result ItemsFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  if (input.Is<Undefined>()) return Value::MakeIterator({});
  if (input.AsMap() == nullptr) return Wrong("needs a mapping");
  QUIRE_ASSIGN_OR_RETURN(const Value items, CallMethod(input, "items", {}, meter));
  return Value::MakeIterator(items.AsList()->items);
}

Result BatchFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"linecount", "fill_with"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t count, arguments.Integer(0, "linecount", 0));
  if (count < 1 || count > kMaxParts) return Wrong("needs a count of at least 1");
  const Value* fill = arguments.GetUnlessNone(1, "fill_with");
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  std::vector<Value> rows;
  for (size_t start = 0; start < items.size(); start += count) {
    std::vector<Value> row(items.begin() + start, items.begin() + std::min(items.size(), start + count));
    if (fill != nullptr) row.resize(count, *fill);
    QUIRE_ASSIGN_OR_RETURN(Value made, Value::MakeList(std::move(row)));
    rows.push_back(std::move(made));
  }
  return Value::MakeIterator(std::move(rows));
}

Result SliceFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"slices", "fill_with"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t slices, arguments.Integer(0, "slices", 0));
  if (slices < 1 || slices > kMaxParts) return Wrong("needs a count of at least 1");
  const Value* fill = arguments.GetUnlessNone(1, "fill_with");
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input, meter));
  const auto count = static_cast<int64_t>(items.size()), each = count / slices, longer = count % slices;
  std::vector<Value> rows;
  for (int64_t i = 0, at = 0; i < slices; ++i) {
    const int64_t size = each + (i < longer);
    std::vector<Value> row(items.begin() + at, items.begin() + at + size);
    at += size;
    if (fill != nullptr && i >= longer) row.push_back(*fill);
    QUIRE_ASSIGN_OR_RETURN(Value made, Value::MakeList(std::move(row)));
    rows.push_back(std::move(made));
  }
  return Value::MakeIterator(std::move(rows));
}

}  // namespace

const FilterTable& SequenceFilters() {
  static const FilterTable filters = {
      {"sort", SortFilter},     {"dictsort", DictSortFilter},  {"groupby", GroupByFilter},
      {"unique", UniqueFilter}, {"min", ExtremeFilter<false>}, {"max", ExtremeFilter<true>},
      {"sum", SumFilter},       {"join", JoinFilter},          {"list", ListFilter},
      {"first", FirstFilter},   {"last", LastFilter},          {"reverse", ReverseFilter},
      {"items", ItemsFilter},   {"batch", BatchFilter},        {"slice", SliceFilter}};
  return filters;
}

}  // namespace quire::gateway::jinja
