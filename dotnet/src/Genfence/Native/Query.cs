using System.Globalization;
using System.Text;

namespace Genfence.Native;

/// <summary>Of which store a setting is.</summary>
internal enum Store
{
    Any,
    Memory,
    Aerospike,
}

/// <summary>Settings as they stand in a URL; what is of another store than the URL's is left out.</summary>
internal sealed class Query(Store store)
{
    private static readonly TimeSpan s_tooLong = TimeSpan.FromDays(10_000);

    private readonly StringBuilder _text = new();
    private readonly HashSet<string> _names = [];

    public bool Has(string name) => _names.Contains(name);

    public override string ToString() => _text.ToString();

    public void Add(Store of, string name, string? value)
    {
        // Empty is how a configuration takes back what another one said.
        if (string.IsNullOrEmpty(value) || IsOther(of))
        {
            return;
        }
        _names.Add(name);
        _text.Append(_text.Length == 0 ? "" : "&").Append(name).Append('=').Append(Uri.EscapeDataString(value));
    }

    public void Add(Store of, string name, TimeSpan? value)
    {
        if (IsOther(of))
        {
            return;
        }
        if (value < TimeSpan.Zero)
        {
            throw new GenfenceInvalidException(name, $"{name}: {value}, must not be below 0");
        }
        // A tick is 100 ns. What is longer than the longest there is need not be exact.
        Add(of, name, value is { } span ? Invariant($"{Math.Min(span.Ticks, s_tooLong.Ticks)}00ns") : null);
    }

    public void Add(Store of, string name, double? value) => Add(of, name, value?.ToString("R", CultureInfo.InvariantCulture));

    public void Add(Store of, string name, long? value) => Add(of, name, value?.ToString(CultureInfo.InvariantCulture));

    public void Add(Store of, string name, bool? value) => Add(of, name, value is { } on ? (on ? "true" : "false") : null);

    public void Add(Store of, string name, Enum? value) => Add(of, name, value?.ToString().ToLowerInvariant());

    public void Add(Store of, string name, IDictionary<string, string> pairs)
    {
        if (IsOther(of))
        {
            return;
        }
        foreach (var (from, to) in pairs)
        {
            if (from.AsSpan().ContainsAny(",=") || to.AsSpan().ContainsAny(",="))
            {
                throw new GenfenceInvalidException(name, $"{name}: {from} to {to}: neither may hold a comma or a =");
            }
        }
        Add(of, name, pairs.Count == 0 ? null : string.Join(',', pairs.Select(pair => $"{pair.Key}={pair.Value}")));
    }

    private bool IsOther(Store of) => of != Store.Any && of != store;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
