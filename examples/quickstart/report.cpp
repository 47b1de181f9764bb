#include "report.hpp"

#include <lathe/core/error.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace quickstart {
namespace {

struct panel {
    std::string title, axis;
    std::vector<std::size_t> columns; // of the table, in order
    std::vector<std::size_t> ticks;
    double left, width;
};

constexpr double top = 60, height = 360;

std::string number(double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", v);
    return text;
}
double y_of(double accuracy, double low, double high) { return top + height * (1 - (accuracy - low) / (high - low)); }

void draw(std::ostream & svg, panel const & p, std::vector<result> const & results, double low, double high) {
    svg << "<text class='title' x='" << p.left << "' y='" << top - 28 << "'>" << p.title << "</text>\n";
    for (double a = low; a <= high + 1e-9; a += 0.1) {
        auto const y = y_of(a, low, high);
        svg << "<line class='grid' x1='" << p.left << "' x2='" << p.left + p.width << "' y1='" << y << "' y2='" << y
            << "'/>"
            << "<text class='tick' text-anchor='end' x='" << p.left - 8 << "' y='" << y + 4 << "'>"
            << std::lround(100 * a) << " %</text>\n";
    }
    auto const x_of = [&](std::size_t i) {
        return p.left + p.width * static_cast<double>(i) / static_cast<double>(p.columns.size() - 1);
    };
    for (std::size_t i = 0; i != p.columns.size(); ++i)
        svg << "<text class='tick' text-anchor='middle' x='" << x_of(i) << "' y='" << top + height + 20 << "'>"
            << p.ticks[i] << "</text>\n";
    svg << "<text class='tick' text-anchor='middle' x='" << p.left + p.width / 2 << "' y='" << top + height + 42 << "'>"
        << p.axis << "</text>\n";

    struct label {
        double y;
        std::size_t line;
    };
    std::vector<label> labels;
    static constexpr char const * colours[] = {"#c0392b", "#1f6fb4", "#1e8449", "#8e44ad", "#b9770e"};
    std::vector<std::string> colour(results.size(), "#a7adb4");
    for (std::size_t r = 0, next = 0; r != results.size(); ++r)
        if (results[r].highlight)
            colour[r] = colours[next++ % std::size(colours)];
    for (int pass = 0; pass != 2; ++pass) // grey lines below the coloured ones
        for (std::size_t r = 0; r != results.size(); ++r) {
            if (results[r].highlight != (pass == 1))
                continue;
            std::string points;
            double last = NAN;
            for (std::size_t i = 0; i != p.columns.size(); ++i)
                if (auto const a = results[r].accuracy[p.columns[i]]; std::isfinite(a)) {
                    points += number(x_of(i)) + "," + number(y_of(a, low, high)) + " ";
                    last = i + 1 == p.columns.size() ? a : last;
                }
            svg << "<polyline fill='none' stroke='" << colour[r] << "' stroke-width='" << (pass == 1 ? 2.6 : 1.2)
                << "' points='" << points << "'/>\n";
            if (std::isfinite(last))
                labels.push_back({y_of(last, low, high), r});
        }
    std::ranges::sort(labels, {}, &label::y);
    double previous = top - 20;
    auto const room = 13.0 * static_cast<double>(labels.size());
    for (auto & l : labels) {
        l.y = std::max(l.y + 4, previous + 13);
        previous = l.y;
    }
    if (auto const over = previous - (top + height + 10); over > 0 && room < height + 40) // push the stack back up
        for (auto l = labels.rbegin(); l != labels.rend(); ++l) {
            auto const limit = l == labels.rbegin() ? top + height + 10 : std::prev(l)->y - 13;
            l->y = std::min(l->y, limit);
        }
    for (auto const & l : labels)
        svg << "<text class='" << (results[l.line].highlight ? "name strong" : "name") << "' fill='"
            << (results[l.line].highlight ? colour[l.line] : "#6b7178") << "' x='" << p.left + p.width + 8 << "' y='"
            << l.y << "'>" << results[l.line].method << "</text>\n";
}

} // namespace

void print_table(std::vector<mixture> const & mixtures, std::vector<result> const & results) {
    std::printf("\nMean accuracy over the tasks, %%. Columns: relevant + irrelevant models in the merge.\n\n%-34s", "");
    for (auto const & m : mixtures)
        std::printf("%7s", (std::to_string(m.relevant) + "+" + std::to_string(m.irrelevant)).c_str());
    std::printf("%9s\n", "seconds");
    for (auto const & r : results) {
        std::printf("%-34s", r.method.c_str());
        for (auto const a : r.accuracy)
            std::isfinite(a) ? std::printf("%7.1f", 100 * a) : std::printf("%7s", "-");
        r.seconds > 0 ? std::printf("%9.2f\n", r.seconds) : std::printf("%9s\n", "-");
    }
}

void write_chart(std::filesystem::path const & path, std::vector<mixture> const & mixtures,
                 std::vector<result> const & results) {
    panel relevant{"More relevant models, none irrelevant", "relevant models merged", {}, {}, 70, 300};
    panel irrelevant{
        "More irrelevant models beside all relevant ones", "irrelevant models merged as well", {}, {}, 650, 300};
    std::size_t most = 0;
    for (auto const & m : mixtures)
        most = std::max(most, m.relevant);
    for (std::size_t i = 0; i != mixtures.size(); ++i) {
        if (mixtures[i].irrelevant == 0) {
            relevant.columns.push_back(i);
            relevant.ticks.push_back(mixtures[i].relevant);
        }
        if (mixtures[i].relevant == most) {
            irrelevant.columns.push_back(i);
            irrelevant.ticks.push_back(mixtures[i].irrelevant);
        }
    }
    double low = 1, high = 0;
    for (auto const & r : results)
        for (auto const a : r.accuracy)
            if (std::isfinite(a)) {
                low = std::min(low, a);
                high = std::max(high, a);
            }
    low = std::floor(low * 10) / 10;
    high = std::ceil(high * 10) / 10;

    std::ostringstream svg;
    svg << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1200 490' font-family='sans-serif'>\n"
           "<style>.title{font-size:16px;font-weight:bold}.tick{font-size:12px;fill:#444}.name{font-size:11.5px}."
           "strong{font-weight:bold}.grid{stroke:#e3e5e8}</style>\n"
           "<rect width='1200' height='490' fill='white'/>\n";
    draw(svg, relevant, results, low, high);
    draw(svg, irrelevant, results, low, high);
    svg << "<text class='tick' x='70' y='480'>Mean test accuracy over eight views of handwritten digits; perceptron "
           "64-256-10; methods in grey are not Frank-Wolfe.</text>\n</svg>\n";
    auto const part = path.string() + ".part";
    std::ofstream(part) << svg.str();
    std::error_code failure;
    std::filesystem::rename(part, path, failure);
    if (failure)
        throw lathe::io_error{path.string() + ": cannot be written: " + failure.message()};
}

} // namespace quickstart
