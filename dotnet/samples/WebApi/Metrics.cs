using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Shop;

/// <summary>
/// The meter Genfence as text that Prometheus reads. This short only as genfence's are the only metrics here; where
/// there is OpenTelemetry, AddMeter("Genfence") takes the place of this file, and AddSource("Genfence") adds traces.
/// </summary>
internal sealed class Metrics : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Lock _lock = new();
    private readonly SortedDictionary<(string Name, string Labels), (long Count, double Sum)> _durations = [];
    private readonly StringBuilder _text = new();

    public Metrics()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument.Meter.Name == "Genfence")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        // Counts are asked for while they are written out; a duration comes when it is measured.
        _listener.SetMeasurementEventCallback<long>((counter, count, tags, _) =>
            Write($"{Name(counter)}_total", Labels(tags), count));
        _listener.SetMeasurementEventCallback<double>((histogram, seconds, tags, _) =>
        {
            var series = ($"{Name(histogram)}_seconds", Labels(tags));
            lock (_lock)
            {
                var (count, sum) = _durations.GetValueOrDefault(series);
                _durations[series] = (count + 1, sum + seconds);
            }
        });
        _listener.Start();
    }

    public string Scrape()
    {
        lock (_lock)
        {
            _text.Clear();
            _listener.RecordObservableInstruments();
            foreach (var ((name, labels), (count, sum)) in _durations)
            {
                Write($"{name}_count", labels, count);
                Write($"{name}_sum", labels, sum);
            }
            return _text.ToString();
        }
    }

    public void Dispose() => _listener.Dispose();

    private void Write(string name, string labels, double value) =>
        _text.Append(CultureInfo.InvariantCulture, $"{name}{{{labels}}} {value}\n");

    private static string Name(Instrument instrument) => instrument.Name.Replace('.', '_');

    private static string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var labels = new List<string>(tags.Length);
        foreach (var (name, value) in tags)
        {
            var escaped = $"{value}".Replace("\\", @"\\", StringComparison.Ordinal)
                .Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
            labels.Add($"{name.Replace('.', '_')}=\"{escaped}\"");
        }
        return string.Join(',', labels);
    }
}
