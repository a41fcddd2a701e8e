#include "host/problems.h"

#include <algorithm>

#include "netlab/text.h"

namespace netlab::lua {

void problems::add(const position& at, std::string text) { all_.push_back({at, std::move(text)}); }

std::vector<std::string> problems::lines() const {
  std::vector<std::string> files;
  for (const auto& p : all_)
    if (std::find(files.begin(), files.end(), p.at.file) == files.end()) files.push_back(p.at.file);
  auto rank = [&](const problem& p) {
    return std::pair(std::find(files.begin(), files.end(), p.at.file) - files.begin(), p.at.line);
  };
  auto sorted = all_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const problem& a, const problem& b) { return rank(a) < rank(b); });
  std::vector<std::string> out;
  for (const auto& p : sorted) {
    auto line = p.at.known() ? p.at.to_string() + ": " + p.text : p.text;
    if (std::find(out.begin(), out.end(), line) == out.end()) out.push_back(std::move(line));
  }
  return out;
}

namespace {

struct token {
  enum class kind { end, name, string, number, symbol } what = kind::end;
  std::string_view text; // a string's content without its quotes, escapes untouched
  int line = 0;
};

// Lua 5.1's tokens, as far as finding keys needs them. Malformed text ends the stream.
class lexer {
public:
  lexer(std::string_view source, int from) : text_(source) {
    while (line_ < from && at_ < text_.size())
      if (text_[at_++] == '\n') ++line_;
  }

  token next() {
    skip_blanks();
    token out;
    out.line = line_;
    if (at_ >= text_.size()) return out;
    auto begin = at_;
    char c = text_[at_];
    if (is_word(c)) {
      while (at_ < text_.size() && is_word(text_[at_])) ++at_;
      out.what = c >= '0' && c <= '9' ? token::kind::number : token::kind::name;
      out.text = text_.substr(begin, at_ - begin);
    } else if (c == '"' || c == '\'') {
      ++at_;
      while (at_ < text_.size() && text_[at_] != c) {
        if (text_[at_] == '\\') ++at_;
        if (at_ < text_.size() && text_[at_] == '\n') ++line_;
        ++at_;
      }
      at_ = std::min(at_, text_.size());
      out.what = token::kind::string;
      out.text = text_.substr(begin + 1, at_ - begin - 1);
      if (at_ < text_.size()) ++at_;
    } else if (auto level = long_bracket(); level >= 0) {
      auto body = at_ + static_cast<std::size_t>(level) + 2;
      skip_long(level);
      out.what = token::kind::string;
      out.text = text_.substr(
          body, at_ - body - std::min<std::size_t>(at_ - body, static_cast<std::size_t>(level) + 2));
    } else {
      ++at_;
      if ((c == '=' || c == '~' || c == '<' || c == '>') && at_ < text_.size() && text_[at_] == '=') ++at_;
      out.what = token::kind::symbol;
      out.text = text_.substr(begin, at_ - begin);
    }
    return out;
  }

private:
  static bool is_word(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  }
  int long_bracket() const {
    if (text_[at_] != '[') return -1;
    auto i = at_ + 1;
    int level = 0;
    while (i < text_.size() && text_[i] == '=') ++i, ++level;
    return i < text_.size() && text_[i] == '[' ? level : -1;
  }
  void skip_long(int level) {
    std::string close = "]" + std::string(static_cast<std::size_t>(level), '=') + "]";
    auto end = text_.find(close, at_);
    end = end == std::string_view::npos ? text_.size() : end + close.size();
    for (; at_ < end; ++at_)
      if (text_[at_] == '\n') ++line_;
  }
  void skip_blanks() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\n') ++line_;
      if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        ++at_;
      } else if (text_.substr(at_, 2) == "--") {
        at_ += 2;
        if (auto level = at_ < text_.size() ? long_bracket() : -1; level >= 0)
          skip_long(level);
        else
          while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
};

struct step {
  std::string name; // or empty
  int index = 0;    // a positional element
};

std::vector<step> steps_of(std::string_view path) {
  std::vector<step> out;
  while (!path.empty()) {
    if (path.front() == '[') {
      auto close = path.find(']');
      if (close == std::string_view::npos) return out;
      out.push_back({"", std::atoi(std::string(path.substr(1, close - 1)).c_str())});
      path.remove_prefix(close + 1);
    } else {
      if (path.front() == '.') path.remove_prefix(1);
      auto end = path.find_first_of(".[");
      out.push_back({std::string(path.substr(0, end)), 0});
      path = end == std::string_view::npos ? std::string_view{} : path.substr(end);
    }
  }
  return out;
}

class table_reader {
public:
  explicit table_reader(lexer& source) : source_(source) {}

  // Just behind a "{". The line of the element that `steps` lead to.
  std::optional<int> find(const std::vector<step>& steps, std::size_t depth) {
    int positional = 0;
    token t = source_.next();
    while (t.what != token::kind::end && t.text != "}") {
      std::string key;
      int index = 0;
      int line = t.line;
      token value = t;
      if (t.what == token::kind::symbol && t.text == "[") {
        token inside = source_.next();
        if (inside.what == token::kind::string) key = inside.text;
        if (inside.what == token::kind::number) index = std::atoi(std::string(inside.text).c_str());
        skip_to_close();
        source_.next(); // "="
        value = source_.next();
      } else if (t.what == token::kind::name) {
        token after = source_.next();
        if (after.what == token::kind::symbol && after.text == "=") {
          key = t.text;
          value = source_.next();
        } else {
          index = ++positional;
          pending_ = after;
        }
      } else {
        index = ++positional;
      }
      const auto& wanted = steps[depth];
      bool here = wanted.name.empty() ? index == wanted.index : !key.empty() && key == wanted.name;
      if (here) {
        if (depth + 1 == steps.size()) return line;
        // A deeper step that is not written out (a variable, a call) still has this element's line.
        if (value.what == token::kind::symbol && value.text == "{") {
          auto deeper = find(steps, depth + 1);
          return deeper ? deeper : line;
        }
        return line;
      }
      t = skip_value(value);
      if (t.what == token::kind::symbol && (t.text == "," || t.text == ";")) t = source_.next();
    }
    return std::nullopt;
  }

private:
  token take() {
    if (pending_) {
      auto out = *pending_;
      pending_.reset();
      return out;
    }
    return source_.next();
  }
  // Skips to the separator or brace that ends the value beginning with `t`.
  token skip_value(token t) {
    int brackets = 0, blocks = 0;
    for (bool first = true;; first = false) {
      if (!first) t = take();
      if (t.what == token::kind::end) return t;
      if (t.what == token::kind::symbol) {
        if (brackets == 0 && blocks == 0 && (t.text == "," || t.text == ";" || t.text == "}")) return t;
        if (t.text == "{" || t.text == "(" || t.text == "[") ++brackets;
        if (t.text == "}" || t.text == ")" || t.text == "]") --brackets;
      } else if (t.what == token::kind::name) {
        // "while" and "for" open their block with "do".
        if (t.text == "function" || t.text == "do" || t.text == "if" || t.text == "repeat") ++blocks;
        if (t.text == "end" || t.text == "until") --blocks;
      }
    }
  }
  void skip_to_close() {
    for (token t = source_.next(); t.what != token::kind::end; t = source_.next())
      if (t.what == token::kind::symbol && t.text == "]") return;
  }

  lexer& source_;
  std::optional<token> pending_;
};

} // namespace

std::optional<int> line_of_option(std::string_view source, int from, std::string_view callee,
                                  std::string_view path) {
  auto steps = steps_of(path);
  if (steps.empty()) return std::nullopt;
  lexer tokens(source, from);
  bool named = false;
  for (token t = tokens.next(); t.what != token::kind::end && t.line <= from + 2; t = tokens.next()) {
    if (t.what == token::kind::name) {
      named = t.text == callee;
    } else if (named && t.what == token::kind::symbol && t.text == "{") {
      return table_reader(tokens).find(steps, 0);
    } else if (!(named && t.what == token::kind::symbol && t.text == "(")) {
      named = false;
    }
  }
  return std::nullopt;
}

} // namespace netlab::lua
