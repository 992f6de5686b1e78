using Genfence.Native;

namespace Genfence;

/// <summary>
/// How a cache is opened: what has the same name in the URL, and counts where the URL does not say otherwise; and
/// what is this program's own matter. What is left out is as its default says. All of it can stand in a configuration.
/// </summary>
public abstract partial class GenfenceSettings
{
    private NamedHome? _home;

    private protected GenfenceSettings() { }

    /// <summary>The value of the tag <c>genfence.cache</c> of all metrics of this cache.</summary>
    public string Name { get; set; } = "default";

    /// <summary>
    /// Threads of the native library's own. 0, the default: none; the cache's one thread does all that comes from the
    /// network, at the least cost. More, for what one thread cannot do: for all caches of the process, as many as the first
    /// says that has some. Bounds: 0 to 256.
    /// </summary>
    public int WorkerThreads { get; set; }

    /// <summary>
    /// How long <see cref="GenfenceCache.DisposeAsync"/> lets what is under way go on. Default: 2 s. Bounds: 0 to 1 h.
    /// </summary>
    public TimeSpan CloseTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Where <c>fence</c> is <c>home</c>: a function of the program's says where keys are at home. Give it another name when it changes.
    /// </summary>
    /// <param name="name">What all programs call it: 1 to 32 of <c>a</c> to <c>z</c>, <c>0</c> to <c>9</c>, <c>_</c> and <c>-</c>.</param>
    /// <param name="home">The function.</param>
    public void UseHome(string name, HomeRegion home)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(home);
        _home = new NamedHome(name, home);
    }

    // No property, as a configuration cannot hold it.
    internal NamedHome? GetHome() => _home;

    /// <summary>The URL with the settings before its own options, which so come on top.</summary>
    internal string In(string url)
    {
        var set = Query(url).ToString();
        if (set.Length == 0)
        {
            return url;
        }
        var mark = url.IndexOf('?', StringComparison.Ordinal);
        return mark < 0 ? $"{url}?{set}" : $"{url[..(mark + 1)]}{set}&{url[(mark + 1)..]}";
    }

    /// <summary>Whether a property here sets the option of this name.</summary>
    internal bool Sets(string url, string option) => Query(url).Has(option);

    internal virtual void Check()
    {
        if (CloseTimeout < TimeSpan.Zero || CloseTimeout > TimeSpan.FromHours(1))
        {
            throw new GenfenceInvalidException("CloseTimeout", $"CloseTimeout: {CloseTimeout}, must be 0 to 1 h");
        }
        if (Name is null)
        {
            throw new GenfenceInvalidException("Name", "Name: is null");
        }
    }

    private protected void CopyAll(GenfenceSettings from)
    {
        Name = from.Name;
        WorkerThreads = from.WorkerThreads;
        CloseTimeout = from.CloseTimeout;
        _home = from._home;
        Copy(from);
    }

    private Query Query(string url)
    {
        var query = new Query(url.StartsWith("memory://", StringComparison.Ordinal) ? Store.Memory : Store.Aerospike);
        Write(query);
        return query;
    }
}
