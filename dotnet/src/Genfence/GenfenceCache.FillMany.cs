using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Genfence.Native;

namespace Genfence;

public sealed partial class GenfenceCache
{
    /// <summary>
    /// The values of several keys, with one read of the cache, and one of the source for all that are missing (of
    /// more than 1,000 keys for so many, and then for the next).
    /// Keys that another caller fills just now are waited for, and loaded one by one where that comes to nothing. Values that
    /// are there are not loaded anew before they end (<see cref="GenfenceSettings.RefreshAt"/>).
    /// </summary>
    /// <typeparam name="T">The values' type.</typeparam>
    /// <param name="keys">The keys; one that stands there twice is asked for once.</param>
    /// <param name="factory">
    /// Reads the source's latest committed state of the keys it is given, and answers with those that exist.
    /// </param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait, and goes to the factory.</param>
    /// <returns>A value for each key; the type's default where the source has nothing.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// A key is out of bounds, or the factory answered null, or for a key that it was not asked for.
    /// </exception>
    public async ValueTask<IReadOnlyDictionary<string, T?>> GetOrFillManyAsync<T>(
        IEnumerable<string> keys,
        Func<IReadOnlyList<string>, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(factory);
        serializer ??= Serializer<T>();
        var values = new Dictionary<string, T?>(StringComparer.Ordinal);
        foreach (var asked in keys.Distinct(StringComparer.Ordinal).ToArray().Chunk(Together))
        {
            await GetOrFillSomeAsync(asked, factory, serializer, values, cancellationToken).ConfigureAwait(false);
        }
        return values;
    }

    /// <summary>How many keys are looked up, loaded and filled together: their leases are kept alive meanwhile.</summary>
    private const int Together = 1_000;

    private async ValueTask GetOrFillSomeAsync<T>(
        string[] asked,
        Func<IReadOnlyList<string>, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory,
        IGenfenceSerializer<T> serializer,
        Dictionary<string, T?> values,
        CancellationToken cancellationToken)
    {
        var results = await LookupAllAsync(Array.ConvertAll(asked, key => (CacheKey)key), cancellationToken).ConfigureAwait(false);
        var looked = new LookedUp(this, asked, results);
        var missing = new List<string>();
        var later = new List<string>();
        try
        {
            Sort(asked, looked, serializer, values, missing, later);
            if (missing.Count > 0)
            {
                var loaded = await LoadAllAsync(missing, looked, factory, cancellationToken).ConfigureAwait(false);
                await FillAllAsync(missing, loaded, looked, serializer, cancellationToken).ConfigureAwait(false);
                foreach (var key in missing)
                {
                    values[key] = loaded.TryGetValue(key, out var value) ? value : default;
                }
            }
        }
        finally
        {
            foreach (var (_, lease) in looked.Leases)
            {
                lease.Dispose();
            }
        }
        var waits = later.ConvertAll(key => GetOrFillAsync(
            key, (key, factory), LoadOneAsync, serializer, cancellationToken).AsTask());
        var waited = await Task.WhenAll(waits).ConfigureAwait(false);
        for (var i = 0; i < waited.Length; i++)
        {
            values[later[i]] = waited[i];
        }
    }

    /// <summary>An exception goes to those who waited for one of the keys, too.</summary>
    private async ValueTask<IReadOnlyDictionary<string, T>> LoadAllAsync<T>(
        List<string> missing,
        LookedUp looked,
        Func<IReadOnlyList<string>, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory,
        CancellationToken cancellation)
    {
        try
        {
            return await BoundedAsync(
                (missing, factory), static (all, cancellation) => LoadAsync(all.missing, all.factory, cancellation), cancellation)
                .ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is not OutOfMemoryException && !cancellation.IsCancellationRequested)
        {
            foreach (var (_, lease) in looked.Leases)
            {
                await FailAsync(lease, problem).ConfigureAwait(false);
            }
            throw;
        }
    }

    private static async ValueTask<T> LoadOneAsync<T>(
        (string Key, Func<IReadOnlyList<string>, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> Factory) one,
        CancellationToken cancellation)
    {
        var loaded = await LoadAsync([one.Key], one.Factory, cancellation).ConfigureAwait(false);
        return loaded.TryGetValue(one.Key, out var value) ? value : default!;
    }

    private static async ValueTask<IReadOnlyDictionary<string, T>> LoadAsync<T>(
        List<string> keys,
        Func<IReadOnlyList<string>, CancellationToken, ValueTask<IReadOnlyDictionary<string, T>>> factory,
        CancellationToken cancellation)
    {
        using var activity = Telemetry.Activities.StartActivity("genfence.load");
        activity?.SetTag("genfence.keys", keys.Count);
        var loaded = await factory(keys, cancellation).ConfigureAwait(false);
        if (loaded is null)
        {
            throw new GenfenceInvalidException("factory", "factory: it answered null; answer with those keys that exist");
        }
        var known = keys.ToHashSet(StringComparer.Ordinal);
        return loaded.Keys.All(known.Contains)
            ? loaded
            : throw new GenfenceInvalidException(
                "factory",
                "factory: it answered for a key that it was not asked for; answer with the keys as given");
    }

    /// <summary>Values, keys to be loaded, and keys that others fill.</summary>
    private void Sort<T>(
        string[] asked,
        LookedUp looked,
        IGenfenceSerializer<T> serializer,
        Dictionary<string, T?> values,
        List<string> missing,
        List<string> later)
    {
        try
        {
            for (var i = 0; i < asked.Length; i++)
            {
                switch (looked.Results[i].Status)
                {
                    case Status.Hit when TryRead(looked.Results[i], serializer, out var value):
                        values[asked[i]] = value;
                        break;
                    // What cannot be read, the lookup of the one key removes.
                    case Status.Hit or Status.Pending:
                        later.Add(asked[i]);
                        break;
                    case Status.Leased or Status.Bypass:
                        missing.Add(asked[i]);
                        break;
                    default:
                        throw Results.Unknown(looked.Results[i].Status);
                }
            }
        }
        finally
        {
            // Values need not stay while the source is read.
            FreeAll(looked.Results);
        }
    }

    private async ValueTask FillAllAsync<T>(
        List<string> missing,
        IReadOnlyDictionary<string, T> loaded,
        LookedUp looked,
        IGenfenceSerializer<T> serializer,
        CancellationToken cancellation)
    {
        var fills = new List<Request>(missing.Count);
        foreach (var key in missing)
        {
            if (!looked.Leases.TryGetValue(key, out var lease))
            {
                continue;
            }
            ReadOnlyMemory<byte>? value = null;
            fills.Add(!loaded.TryGetValue(key, out var found) || TrySerialize(found, serializer, out value)
                ? new Request(Op.Loaded) { Lease = lease.Handle }.With(value, null, null)
                : new Request(Op.LoadFailed) { Lease = lease.Handle, Value = SharedFailures.None });
        }
        if (fills.Count == 0)
        {
            return;
        }
        cancellation.ThrowIfCancellationRequested();
        ValueTask<NativeResult>[] submitted;
        try
        {
            submitted = Connection.SubmitAll(fills.ToArray(), CancellationToken.None);
        }
        catch (GenfenceShutDownException problem)
        {
            NotStored(Logger, problem.Message);
            return;
        }
        // All of them are awaited, whatever one says: each owns what it brings.
        GenfenceException? wrong = null;
        foreach (var fill in submitted)
        {
            var filled = await fill.ConfigureAwait(false);
            try
            {
                filled.StatusAndFree().MustBe(Status.Done);
            }
            catch (GenfenceShutDownException problem)
            {
                NotStored(Logger, problem.Message);
            }
            catch (GenfenceException problem)
            {
                wrong = problem;
            }
        }
        if (wrong is not null)
        {
            throw wrong;
        }
    }

    /// <summary>
    /// Looks several keys up with one read of the cache, and waits for nobody: one that waited while it holds leases could
    /// wait for one that waits for it.
    /// </summary>
    /// <param name="keys">The keys.</param>
    /// <param name="cancellationToken">Ends the wait; leases that come later are given back.</param>
    /// <returns>
    /// What was found, in the order of the keys; <see langword="null"/> for a key that another caller fills, and for the
    /// second place of a key that this call leases: fill what was leased, then look that one up again. Dispose each lease.
    /// </returns>
    public async ValueTask<IReadOnlyList<LookupResult?>> LookupManyAsync(
        IReadOnlyList<CacheKey> keys, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        var results = await LookupAllAsync([.. keys], cancellationToken).ConfigureAwait(false);
        var looked = new LookupResult?[results.Length];
        try
        {
            for (var i = 0; i < results.Length; i++)
            {
                looked[i] = results[i].Status == Status.Pending ? null : Looked(ref results[i]);
            }
            return looked;
        }
        catch
        {
            FreeAll(results);
            foreach (var one in looked)
            {
                one?.Lease?.Dispose();
            }
            throw;
        }
    }

    /// <summary>Gives leases back, too.</summary>
    private static void FreeAll(NativeResult[] results)
    {
        for (var i = 0; i < results.Length; i++)
        {
            results[i].Free();
        }
    }

    /// <summary>Reads all with one read of the cache.</summary>
    private Task<NativeResult[]> LookupAllAsync(CacheKey[] keys, CancellationToken cancellation) =>
        AllAsync(Array.ConvertAll(keys, key => new Request(Op.LookupMany) { Key = key, Tags = _tags, Near = _near }), cancellation);

    /// <summary>What came of each; the first that failed is thrown, once all have ended.</summary>
    private async Task<NativeResult[]> AllAsync(Request[] requests, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var submitted = Connection.SubmitAll(requests, cancellation);
        var results = new NativeResult[requests.Length];
        Exception? problem = null;
        // All of them are awaited, whatever one says: each owns what it brings.
        for (var i = 0; i < requests.Length; i++)
        {
            try
            {
                results[i] = await submitted[i].ConfigureAwait(false);
                results[i].ThrowIfFailed();
            }
            catch (Exception ended) when (ended is OperationCanceledException or GenfenceException or GenfenceShutDownException)
            {
                problem ??= ended;
            }
        }
        if (problem is null)
        {
            return results;
        }
        FreeAll(results);
        ExceptionDispatchInfo.Throw(problem);
        throw problem;
    }

    /// <summary>What a lookup of many keys found; the leases are taken out of the results.</summary>
    private sealed class LookedUp
    {
        public LookedUp(GenfenceCache cache, string[] keys, NativeResult[] results)
        {
            Results = results;
            for (var i = 0; i < keys.Length; i++)
            {
                if (results[i].Lease != 0)
                {
                    Leases.Add(keys[i], new Lease(cache, results[i].TakeLease()));
                }
            }
        }

        public NativeResult[] Results { get; }

        public Dictionary<string, Lease> Leases { get; } = new(StringComparer.Ordinal);
    }
}
